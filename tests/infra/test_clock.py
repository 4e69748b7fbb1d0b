from infra.clock import SystemClock


def test_the_clock_never_goes_back_behind_the_last_committed_now() -> None:
    far_us = 1 << 60
    clock = SystemClock(least_us=far_us)
    assert clock.now_us() == far_us
    clock.sleep_us(-5)
    assert clock.now_us() == far_us


def test_the_clock_goes_on() -> None:
    clock = SystemClock()
    first_us = clock.now_us()
    clock.sleep_us(1000)
    assert clock.now_us() >= first_us + 1000
