"""One member's random numbers: its own streams, whoever trains beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknnopt._threads import Turns


class MemberRandom:
    """The random streams of one member: initial weights, order of rows, dropout masks, noise.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        The member's own seed.
    device : torch.device
        Where dropout masks are drawn.
    """

    def __init__(self, seed: np.random.SeedSequence, device: torch.device) -> None:
        initial, order, bits, noise = seed.spawn(4)
        self.initial = torch.Generator().manual_seed(int(initial.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        self._order = np.random.Generator(np.random.PCG64(order))
        self._bits = np.random.SFC64(bits)
        self._noise = np.random.Generator(np.random.SFC64(noise))
        self._device_bits = None
        if device.type != "cpu":
            first = int(bits.generate_state(1, np.uint64)[0] >> np.uint64(1))
            self._device_bits = torch.Generator(device).manual_seed(first)

    def permutation(self, n: int) -> np.ndarray:
        """Return a random order of ``n`` rows, int64."""
        return self._order.permutation(n)

    def words(self) -> tuple[int, ...]:
        """Return words that seed generators of an order drawn in parts."""
        return tuple(self._order.integers(2**32, size=4).tolist())

    def fill_bits(self, out: Tensor) -> None:
        """Fill ``out``, int16 of a multiple of 4 elements, with uniform random bits."""
        words = out.numel() // 4
        if self._device_bits is None:
            out.numpy()[:] = self._bits.random_raw(words).view(
                np.int16
            )  # 2 ns a word; torch's Mersenne twister takes 4
        else:
            out.view(torch.int64).random_(generator=self._device_bits)

    def fill_normal(self, out: Tensor) -> None:
        """Fill ``out``, contiguous float32 or float64, with independent standard normal numbers."""
        if self._device_bits is None:
            values = out.numpy()
            self._noise.standard_normal(out=values, dtype=values.dtype.type)
        else:
            out.normal_(generator=self._device_bits)

    def beta(self, a: float, b: float) -> float:
        """Return a draw from the beta distribution."""
        return float(self._noise.beta(a, b))

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to continue the streams (picklable, no tensors)."""
        device_bits = None if self._device_bits is None else self._device_bits.get_state().numpy()
        return {
            "order": self._order.bit_generator.state,
            "bits": self._bits.state,
            "noise": self._noise.bit_generator.state,
            "device_bits": device_bits,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue the streams where :meth:`state` saw them."""
        self._order.bit_generator.state = state["order"]
        self._bits.state = state["bits"]
        self._noise.bit_generator.state = state["noise"]
        if self._device_bits is not None and state["device_bits"] is not None:
            self._device_bits.set_state(torch.tensor(state["device_bits"]))


_torch_random = Turns()


@contextmanager
def forked_torch_random(seed: int | None = None, device: torch.device | None = None) -> Iterator[None]:
    """Restore torch's global generators at the end, one thread at a time; with `seed` start from it.

    What is not ours draws from them: a user's module, its dropout, skorch's callbacks. They belong to the whole
    process, so that threads have to take turns.
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with _torch_random.taken(), torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            if devices:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
        yield


def shared_torch_random(device: torch.device) -> bytes | None:
    """Return the state of torch's global generators; None while another thread has its turn with them."""
    with _torch_random.taken_if_free() as own:
        if not own:
            return None
        state = torch.get_rng_state().numpy().tobytes()
        return state + (torch.cuda.get_rng_state(device).numpy().tobytes() if device.type == "cuda" else b"")
