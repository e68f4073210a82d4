#!/usr/bin/env python3
"""Logs the runs of wandb.json to Weights & Biases (pip install wandb; wandb login).

usage: import.py                     with WANDB_MODE=offline into ./wandb, which `wandb sync wandb/offline-run-*` sends later
"""
import json, pathlib

import wandb

study = json.loads(pathlib.Path(__file__).with_name("wandb.json").read_text(encoding="utf-8"))
for run in study["runs"]:
    logger = wandb.init(
        project=study["project"], entity=study["entity"], id=run["id"], name=run["name"], group=run["group"],
        tags=run["tags"], config=run["config"], job_type="trial", resume="allow",
    )
    for row in run["history"]:
        logger.log(row["values"], step=row["step"])
    logger.summary.update(run["summary"])
    logger.finish(exit_code=1 if run["failed"] else 0)
print(f"{len(study['runs'])} runs in project {study['project']}")
