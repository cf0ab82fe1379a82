import os
import signal
import sys
import threading

import pytest

from lib.core.interruption import answering_ctrl_c


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def handler(monkeypatch):
    """The handler of the tests' process is there again in the end; the hook is changed for a process that ends."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_the_first_only_asks_and_the_second_ends_the_block(capfd):
    with pytest.raises(KeyboardInterrupt), answering_ctrl_c("stopping", "") as ctrl_c:
        ctrl_c.can_wait = True
        assert not ctrl_c.asked()
        press()
        assert ctrl_c.asked() and capfd.readouterr().err == "\nstopping\n"
        press()
        pytest.fail("the block goes on")


def test_the_first_ends_a_block_that_cannot_wait_and_says_why():
    with pytest.raises(KeyboardInterrupt, match="nothing to save"), answering_ctrl_c("", "nothing to save"):
        press()
        pytest.fail("the block goes on")


def test_the_first_ends_a_block_that_cannot_wait_also_where_python_drops_exceptions():
    class Dropping:
        def __del__(self) -> None:
            press()

    with pytest.raises(KeyboardInterrupt, match="nothing to save"), answering_ctrl_c("", "nothing to save") as ctrl_c:
        Dropping()
        ctrl_c.asked()
        pytest.fail("the block goes on")


def test_none_ends_a_block_that_must_finish():
    with answering_ctrl_c("", "") as ctrl_c:
        ctrl_c.must_finish = True
        press()
        press()
        assert ctrl_c.asked()


def test_a_thread_gets_no_signals_and_takes_none_over():
    handlers = []

    def work():
        with answering_ctrl_c("", ""):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
