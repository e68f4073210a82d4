#!/usr/bin/env python3
"""Makes the study of mlflow.json on an MLflow server. Needs nothing but Python.

usage: import.py http://HOST:PORT        (a token in MLFLOW_TRACKING_TOKEN is sent along)
"""
import json, os, pathlib, sys, time, urllib.error, urllib.request

if len(sys.argv) != 2:
    sys.exit(__doc__)
server = sys.argv[1].rstrip("/")
study = json.loads(pathlib.Path(__file__).with_name("mlflow.json").read_text(encoding="utf-8"))


def post(path, body):
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    body = {key: value for key, value in body.items() if value is not None}
    request = urllib.request.Request(f"{server}/{study['api']}/{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{path}: {error.code} {error.read().decode(errors='replace')}")


experiment = study["experiment"]
experiment["name"] += time.strftime(" %Y-%m-%d %H:%M:%S")  # names are taken for ever, by deleted experiments too
experiment_id = post("experiments/create", experiment)["experiment_id"]
for run in study["runs"]:
    made = post("runs/create", {"experiment_id": experiment_id, **run["create"]})
    run_id = made["run"]["info"]["run_id"]
    for batch in run["log_batch"]:
        post("runs/log-batch", {"run_id": run_id, **batch})
    post("runs/update", {"run_id": run_id, **run["update"]})
print(f"{len(study['runs'])} runs in experiment {experiment_id} ({experiment['name']})")
