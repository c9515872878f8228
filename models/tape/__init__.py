"""Recording of a module's own init: constructors run, their random draws do not."""

from seedpoint.models.tape.errors import RecordingError
from seedpoint.models.tape.tape import Tape, TapeTensor, imagined, record, unsaved_buffers

__all__ = ["RecordingError", "Tape", "TapeTensor", "imagined", "record", "unsaved_buffers"]
