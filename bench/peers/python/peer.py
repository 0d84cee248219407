"""The stream as an experienced user would write it in Python: confluent-kafka, numpy, onnxruntime, a frame per batch.

One process of a group: reads its partitions of a topic of HW32 frames to where they end now, scores every frame in one
call, writes accepted events to a topic, and prints one JSON line: events, accepted positions, seconds and CPU seconds
from the first frame on. Usage: peer.py '{"brokers", "topic", "sink", "partitions", "model", "threshold"}'.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime as ort
from confluent_kafka import Consumer, Producer, TopicPartition

WORD_BYTES = 76
BATCH_MESSAGES = 32


def varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(message: bytes) -> dict[int, int | memoryview]:
    """The fields of an L1Frame (proto/l1_event.proto): varints and bytes are all that it has."""
    data = memoryview(message)
    found: dict[int, int | memoryview] = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            found[tag >> 3] = data[at : at + value]
            at += value
        else:
            found[tag >> 3] = value
    return found


def unpack(objects: memoryview) -> tuple[np.ndarray, np.ndarray]:
    """Planar codes int16 [N, 57] and whether each event is sound."""
    words = np.frombuffer(objects, dtype="<i4").reshape(-1, 19)
    codes = np.empty((len(words), 57), dtype=np.int16)
    pt, eta, phi = codes[:, :19], codes[:, 19:38], codes[:, 38:]
    pt[:] = words & 0xFFF
    eta[:] = (words << 10) >> 22
    phi[:] = words >> 22
    bad = (eta == -512) | (phi < -288) | (phi > 287) | ((pt == 0) & (words != 0))
    sound = ~bad.any(axis=1) & (eta[:, 0] == 0)
    return codes, sound


def main() -> None:
    job = json.loads(sys.argv[1])
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
    consumer = Consumer(
        {
            "bootstrap.servers": job["brokers"],
            "group.id": "peer",
            "enable.auto.commit": False,
            "fetch.message.max.bytes": 8 * 1024 * 1024,
            "queued.max.messages.kbytes": 64 * 1024,
        }
    )
    producer = Producer({"bootstrap.servers": job["brokers"], "acks": "all", "linger.ms": 5})
    consumer.assign([TopicPartition(job["topic"], partition, 0) for partition in job["partitions"]])
    left = 0
    for partition in job["partitions"]:
        low, high = consumer.get_watermark_offsets(TopicPartition(job["topic"], partition), timeout=30)
        left += high - low
    threshold = np.float32(job["threshold"])
    events = 0
    accepted: list[str] = []
    start = cpu = 0.0
    while left > 0:
        for message in consumer.consume(BATCH_MESSAGES, timeout=1.0):
            if events == 0:
                start, cpu = time.perf_counter(), time.process_time()
            if message.error():
                raise RuntimeError(message.error())
            left -= 1
            frame = fields(message.value())
            objects = frame[8]
            codes, sound = unpack(objects)
            crossings = np.frombuffer(frame[6], dtype="<u2")
            sound &= (crossings >= 1) & (crossings <= 3564)
            codes[~sound] = 0
            (scores,) = session.run(["score"], {"events": codes})
            events += len(scores)
            for index in np.flatnonzero((scores >= threshold) & sound):
                accepted.append(f"{message.partition()}/{message.offset()}/{index}")
                value = bytes(objects[index * WORD_BYTES : (index + 1) * WORD_BYTES])
                producer.produce(job["sink"], value, key=accepted[-1])
        producer.poll(0)
    producer.flush()
    used = {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - cpu}
    consumer.close()
    print(json.dumps({"events": events, "accepted": accepted, **used}))


main()
