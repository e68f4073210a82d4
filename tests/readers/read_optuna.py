"""What Optuna finds in a journal, as JSON. usage: read_optuna.py FILE"""
import json, sys, warnings

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
(summary,) = optuna.get_all_study_summaries(storage)
study = optuna.load_study(study_name=summary.study_name, storage=storage)
trials = [
    {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.values[0] if trial.values else None,
        "params": trial.params,
        "distributions": {key: str(value) for key, value in trial.distributions.items()},
        "intermediate": trial.intermediate_values,
        "user_attrs": trial.user_attrs,
        "seconds": trial.duration.total_seconds() if trial.duration else None,
    }
    for trial in study.trials
]
# A sampler of Optuna's goes on from here.
study.sampler = optuna.samplers.TPESampler(seed=0)
best = study.best_trial.number
asked = study.ask({key: value for key, value in study.trials[0].distributions.items()})
print(json.dumps({
    "name": study.study_name,
    "direction": study.direction.name,
    "best": best,
    "trials": trials,
    "next": asked.params,
}))
