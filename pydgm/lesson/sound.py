"""Sounds that a lesson has made: a file, and in a notebook something to play."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import numpy

from .. import checks
from ..backend import to_numpy


class Sound:
    """Numbers between -1 and 1, ``rate`` a second, as a WAV file of one channel and 16 bits: :attr:`wav`. Rows are played one
    after the other."""

    def __init__(self, samples: Any, rate: int) -> None:
        samples = numpy.asarray(to_numpy(samples), "float64").reshape(-1)
        checks.count(rate, "a sound's rate")
        checks.within(samples, -1.0, 1.0, "a sound's samples")
        file = io.BytesIO()
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(rate)
            sound.writeframes(numpy.round(32767.0 * samples).astype("<i2").tobytes())
        self.wav = file.getvalue()

    def _repr_html_(self) -> str:
        return f'<audio controls src="data:audio/wav;base64,{base64.b64encode(self.wav).decode()}"></audio>'
