"""Runs the import script of a W&B export offline, for its first runs, and says what lies in its folder, as JSON.
usage: run_wandb.py DIR COUNT"""
import glob, json, os, runpy, sys

folder, count = sys.argv[1], int(sys.argv[2])
os.chdir(folder)
with open("wandb.json", encoding="utf-8") as file:
    study = json.load(file)
study["runs"] = study["runs"][:count]
with open("wandb.json", "w", encoding="utf-8") as file:
    json.dump(study, file)
projects = set()
import wandb

begin = wandb.init


def init(**settings):
    # The name of a team is asked of the server, which is not there.
    projects.add(settings["project"])
    return begin(**{**settings, "entity": None, "resume": None})


wandb.init = init
out, sys.stdout = sys.stdout, sys.stderr
runpy.run_path("import.py", run_name="__main__")
print(json.dumps({"runs": len(glob.glob("wandb/offline-run-*/*.wandb")), "projects": sorted(projects)}), file=out)
