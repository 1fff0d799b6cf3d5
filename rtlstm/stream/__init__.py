"""Where samples come from and where forecasts go: files, standard input, this machine."""

from rtlstm.stream.csv_source import CsvSource, csv_source
from rtlstm.stream.host import HostSource, host_source
from rtlstm.stream.jsonl_source import JsonlSource, jsonl_source
from rtlstm.stream.opening import open_source, recording
from rtlstm.stream.order import WatchedTime, watch_time
from rtlstm.stream.reading import Options, Reading
from rtlstm.stream.sink import CsvSink, csv_sink
from rtlstm.stream.source import Sample, Source

__all__ = [
    "CsvSink",
    "CsvSource",
    "HostSource",
    "JsonlSource",
    "Options",
    "Reading",
    "Sample",
    "Source",
    "WatchedTime",
    "csv_sink",
    "csv_source",
    "host_source",
    "jsonl_source",
    "open_source",
    "recording",
    "watch_time",
]
