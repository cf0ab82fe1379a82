import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.audio.augment.tensors.fourier import fast_length, spectrum_of, waveform_of


@given(st.integers(2, 300_000))
def test_fast_lengths_are_even_products_of_small_primes_and_little_longer(n):
    length = rest = fast_length(n)
    for prime in (2, 3, 5, 7, 11):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1 and length % 2 == 0 and n <= length < 1.1 * n + 64


@given(st.integers(2, 500))
def test_waveforms_come_back(n):
    x = torch.linspace(-1, 1, 2 * n).view(2, n)
    torch.testing.assert_close(waveform_of(spectrum_of(x), n), x, atol=1e-5, rtol=0)
