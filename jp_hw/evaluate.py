"""Accuracy and kept MACs of a trained network, float and integer, on a whole test set."""

from dataclasses import dataclass
from pathlib import Path

from jp_hw import datasets, golden, zoo
from jp_hw.ir import Network
from jp_hw.macs import LayerCount, count
from jp_hw.quantize import quantize

BATCH = 1000


@dataclass(frozen=True)
class Evaluation:
    """Figures of one network on one test set. dense_accuracy: of its own unpruned baseline."""

    model: str
    dataset: str
    images: int
    dense_accuracy: float | None
    float_accuracy: float
    integer_accuracy: float
    dense_macs: int
    layers: tuple[LayerCount, ...]

    @property
    def macs_per_image(self) -> float:
        """Mean of kept MACs."""
        return sum(layer.macs_per_image for layer in self.layers)

    def to_json(self) -> dict[str, object]:
        """The figures with stable keys; accuracies and shares are between 0 and 1."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            "images": self.images,
            "dense_accuracy": self.dense_accuracy,
            "float_accuracy": self.float_accuracy,
            "integer_accuracy": self.integer_accuracy,
            "dense_macs": self.dense_macs,
            "macs_per_image": self.macs_per_image,
            "macs_kept": self.macs_per_image / self.dense_macs,
            "layers": [
                {
                    "name": layer.name,
                    "weights": layer.weights,
                    "weights_kept": layer.nonzero_weights / layer.weights,
                    "activations_kept": layer.tokens / layer.activations,
                    "dense_macs": layer.dense_macs,
                    "macs_per_image": layer.macs_per_image,
                    "macs_kept": layer.macs_kept,
                }
                for layer in self.layers
            ],
        }


def network_of(artifact: zoo.Artifact, weight_bits: int = 8, activation_bits: int = 8) -> Network:
    """The integer network of a trained one, calibrated on its own images."""
    return quantize(
        artifact.model(),
        artifact.calibration().images,
        name=artifact.name,
        input_scale=artifact.input_scale,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
    )


def evaluate(model: str, data: Path | None = None, images: int | None = None) -> Evaluation:
    """Evaluate a zoo network, or an artifact's folder, on its test set.

    data: the data folder; images: only so many. Larger images are cut to the network's size at their
    centre. activations_kept counts a layer's *inputs*. Raises JpHwError for an unknown model or
    missing data.
    """
    artifact = zoo.load(model)
    dataset = str(artifact.info["dataset"]["name"])
    whole = datasets.load(dataset, data).test
    test = datasets.centre(whole, artifact.input_shape[:2]).loaded()
    test = test if images is None else test[slice(0, images)]
    network = network_of(artifact)
    logits = [golden.run(network, test.images[i : i + BATCH]) for i in range(0, len(test), BATCH)]
    correct = sum(
        golden.accuracy(rows, test.labels[i * BATCH : i * BATCH + BATCH]) * len(rows)
        for i, rows in enumerate(logits)
    )
    dense = artifact.info["metrics"].get("dense")
    return Evaluation(
        artifact.name,
        dataset,
        len(test),
        None if dense is None else float(dense["accuracy"]),
        _float_accuracy(artifact, test),
        correct / len(test),
        network.dense_macs,
        tuple(count(network, test.images)),
    )


def _float_accuracy(artifact: zoo.Artifact, test: datasets.Split) -> float:
    import torch

    model, correct = artifact.model(), 0
    with torch.inference_mode():
        for i in range(0, len(test), BATCH):
            pixels = torch.tensor(test.images[i : i + BATCH]).permute(0, 3, 1, 2).float()
            classes = model(pixels * artifact.input_scale).argmax(1).numpy()
            correct += int((classes == test.labels[i : i + BATCH]).sum())
    return correct / len(test)
