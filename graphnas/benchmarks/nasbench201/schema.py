"""The tables of NAS-Bench-201: what was trained, what came of it, and every epoch on the way.

Accuracies are in percent, losses are cross entropy, times in seconds, parameters and FLOPs in millions. What a source
does not tell is NULL. `docs/benchmarks.md` says which split of the images each column is about.
"""

from __future__ import annotations

import peewee

from graphnas.benchmarks.database import BenchmarkDatabase, JSONField

DATABASE = BenchmarkDatabase(
    "nasbench201",
    "NAS-Bench-201-v1_1-096897.pth or the folder NATS-tss-v1_0-3ffb9-simple (links at github.com/D-X-Y/NATS-Bench),"
    " or a CSV table of it (docs/benchmarks.md)",
)


class Nb201TrialConfig(peewee.Model):
    """What was trained.

    Attributes:
        arch: Operation of each edge, `{"0_1": "avg_pool_3x3", "0_2": …, "0_3": …, "1_2": …, "1_3": …, "2_3": …}`.
        num_epochs: Length of the training.
        num_channels: Channels of the first stage.
        num_cells: Cells of each stage.
        dataset: `cifar10-valid`, `cifar10`, `cifar100` or `imagenet16-120`.
    """

    id = peewee.AutoField()
    arch = JSONField(index=True)
    num_epochs = peewee.IntegerField()
    num_channels = peewee.IntegerField()
    num_cells = peewee.IntegerField()
    dataset = peewee.CharField(max_length=20)

    class Meta:
        """The database of NAS-Bench-201."""

        database = DATABASE


class Nb201TrialStats(peewee.Model):
    """What came of one training, after its last epoch; where only a mean is published, of the mean.

    Attributes:
        config: What was trained.
        seed: The seed of the training; NULL where the source does not tell it, or gives a mean of several.
        train_acc: Accuracy on the training images.
        valid_acc: Accuracy on the validation images; NULL for `cifar10`, which holds none back.
        test_acc: Accuracy on the test images: half of the original ones, or all of them for CIFAR-10.
        ori_test_acc: Accuracy on all the original test images.
        train_loss: Loss of the same.
        valid_loss: Loss of the same.
        test_loss: Loss of the same.
        ori_test_loss: Loss of the same.
        parameters: Number of parameters, in millions.
        latency: Seconds of one pass, as the benchmark measured them.
        flops: Multiply-accumulates of one image, in millions.
        training_time: Seconds of the whole training.
        valid_evaluation_time: Seconds of one pass over the validation images.
        test_evaluation_time: Seconds of one pass over the test images.
        ori_test_evaluation_time: Seconds of one pass over all the original test images.
    """

    id = peewee.AutoField()
    config = peewee.ForeignKeyField(Nb201TrialConfig, backref="trial_stats", index=True)
    seed = peewee.IntegerField(null=True)
    train_acc = peewee.FloatField(null=True)
    valid_acc = peewee.FloatField(null=True)
    test_acc = peewee.FloatField(null=True)
    ori_test_acc = peewee.FloatField(null=True)
    train_loss = peewee.FloatField(null=True)
    valid_loss = peewee.FloatField(null=True)
    test_loss = peewee.FloatField(null=True)
    ori_test_loss = peewee.FloatField(null=True)
    parameters = peewee.FloatField(null=True)
    latency = peewee.FloatField(null=True)
    flops = peewee.FloatField(null=True)
    training_time = peewee.FloatField(null=True)
    valid_evaluation_time = peewee.FloatField(null=True)
    test_evaluation_time = peewee.FloatField(null=True)
    ori_test_evaluation_time = peewee.FloatField(null=True)

    class Meta:
        """The database of NAS-Bench-201."""

        database = DATABASE


class Nb201IntermediateStats(peewee.Model):
    """How a training stood after one of its epochs.

    Attributes:
        trial: The training.
        current_epoch: Number of epochs done, from 1.
        train_acc: As in `Nb201TrialStats`, and so are the others.
        valid_acc: NULL in epochs after which the benchmark did not evaluate.
        test_acc: The same.
        ori_test_acc: The same.
        train_loss: Loss of the same.
        valid_loss: Loss of the same.
        test_loss: Loss of the same.
        ori_test_loss: Loss of the same.
    """

    id = peewee.AutoField()
    trial = peewee.ForeignKeyField(Nb201TrialStats, backref="intermediates", index=False)
    current_epoch = peewee.IntegerField()
    train_acc = peewee.FloatField(null=True)
    valid_acc = peewee.FloatField(null=True)
    test_acc = peewee.FloatField(null=True)
    ori_test_acc = peewee.FloatField(null=True)
    train_loss = peewee.FloatField(null=True)
    valid_loss = peewee.FloatField(null=True)
    test_loss = peewee.FloatField(null=True)
    ori_test_loss = peewee.FloatField(null=True)

    class Meta:
        """The database of NAS-Bench-201."""

        database = DATABASE
        indexes = ((("trial", "current_epoch"), True),)


class Nb201Estimate(peewee.Model):
    """What no source measured, and a table estimates: kept apart, so that no column mixes both.

    Attributes:
        arch: As in `Nb201TrialConfig`.
        ori_test_evaluation_time: Seconds of one pass over the 10,000 test images of CIFAR-10.
    """

    id = peewee.AutoField()
    arch = JSONField(index=True)
    ori_test_evaluation_time = peewee.FloatField()

    class Meta:
        """The database of NAS-Bench-201."""

        database = DATABASE


class Nb201DeviceLatency(peewee.Model):
    """Latencies on many devices, which others measured: those of HELP (Lee et al. 2021, github.com/HayeonLee/HELP).

    Attributes:
        arch: As in `Nb201TrialConfig`.
        latency_ms: Milliseconds by device, whose name ends with the size of the batch where there are several.
    """

    id = peewee.AutoField()
    arch = JSONField(index=True)
    latency_ms = JSONField()

    class Meta:
        """The database of NAS-Bench-201."""

        database = DATABASE
