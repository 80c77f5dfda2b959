"""Embedding files of every format, as their users' libraries write them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file


def write_npz(path, rows, ids):
    np.savez(path, embeddings=rows, **({} if ids is None else {"ids": np.array(ids)}))


def write_parquet(path, rows, ids):
    lists = pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))
    pq.write_table(pa.table({"v": lists} | ({} if ids is None else {"doc_id": ids})), path)


def write_jsonl(path, rows, ids):
    entries = [{"vector": row.tolist(), "title": None} for row in rows]
    for entry, id_ in zip(entries, [] if ids is None else ids, strict=False):
        entry["_id"] = id_
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def write_safetensors(path, rows, ids):
    ids = {} if ids is None else {"ids": np.array([int(id_) for id_ in ids])}
    save_file({"embedding": rows, **ids}, path)


WRITE = {
    ".npy": lambda path, rows, ids: np.save(path, rows),
    ".npz": write_npz,
    ".parquet": write_parquet,
    ".jsonl": write_jsonl,
    ".safetensors": write_safetensors,
}
