import pytest
from fastapi.testclient import TestClient

from lib.server.review.review_app import make_review_app
from lib.server.review.reviewed_project import ReviewedProject
from tests.server.review.builders import Project, write_project


@pytest.fixture
def project(tmp_path) -> Project:
    return write_project(tmp_path / "project")


@pytest.fixture
def client(project):
    settings = project.settings()
    reviewed = ReviewedProject(settings, str(project.labels), "none", "ana", "none")
    with TestClient(make_review_app(settings, reviewed), base_url="http://localhost") as client:
        yield client
