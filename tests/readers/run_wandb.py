"""Runs the import script of a W&B export offline and says what lies in its folder, as JSON. usage: run_wandb.py DIR"""
import glob, json, os, runpy, sys

folder = sys.argv[1]
os.chdir(folder)
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
