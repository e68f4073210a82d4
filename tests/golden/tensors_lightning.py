"""A checkpoint as TAO's Lightning module writes it: optimiser and schedule, callbacks, and the settings as an OmegaConf object that
knows its classes (fixture of tests/it/tensors.rs). The classes stand in for those of nvidia_tao_core, by name alone.

Run by hand: python tests/golden/tensors_lightning.py (torch 2.11, pytorch_lightning 2, omegaconf 2.3).
"""
import dataclasses
import pathlib
import sys
import types
from typing import Dict, List, Optional

import pytorch_lightning as lightning
import torch
from omegaconf import OmegaConf

settings = "nvidia_tao_core.config.clip.default_config"
for i in range(settings.count(".") + 1):
    sys.modules.setdefault(name := settings.rsplit(".", i)[0], types.ModuleType(name))


def of_settings(cls):
    cls.__module__ = settings
    setattr(sys.modules[settings], cls.__name__, cls)
    return dataclasses.dataclass(cls)


@of_settings
class ModelConfig:
    type: str = "siglip2-so400m-patch16-256"
    adaptor_name: Optional[str] = None
    image_size: int = 256


@of_settings
class ExperimentConfig:
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    betas: List[float] = dataclasses.field(default_factory=lambda: [0.9, 0.95])
    extra: Dict[str, float] = dataclasses.field(default_factory=dict)
    encryption_key: Optional[str] = None


class Module(lightning.LightningModule):
    def __init__(self, experiment_spec):
        super().__init__()
        self.save_hyperparameters()
        self.model = torch.nn.Linear(6, 4)
        with torch.no_grad():
            self.model.weight.copy_(torch.arange(24).reshape(4, 6) / 7)

    def training_step(self, batch, index):
        return 0 * self.model(batch).sum()

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(2, 6), batch_size=2)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-4, weight_decay=0.0)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0), "interval": "step"}]


folder = pathlib.Path(__file__).parent / "tensors"
callback = lightning.callbacks.ModelCheckpoint(dirpath="/tmp/lightning", save_last=True)
trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, callbacks=[callback], enable_progress_bar=False)
trainer.fit(Module(OmegaConf.structured(ExperimentConfig)))
trainer.save_checkpoint(folder / "lightning.ckpt")
