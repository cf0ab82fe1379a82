from tests.tracking.conftest import store as store
