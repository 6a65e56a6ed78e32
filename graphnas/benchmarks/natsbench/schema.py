"""The tables of NATS-Bench, space of sizes: what was trained, what came of it, and every epoch on the way.

Accuracies are in percent, losses are cross entropy, times in seconds, parameters and FLOPs in millions. What a source
does not tell is NULL. `docs/benchmarks.md` says which split of the images each column is about.
"""

from __future__ import annotations

import peewee

from graphnas.benchmarks.database import BenchmarkDatabase, JSONField

DATABASE = BenchmarkDatabase(
    "natsbench_sss", "the folder NATS-sss-v1_0-50262-simple (link at github.com/D-X-Y/NATS-Bench)"
)


class NatsSssTrialConfig(peewee.Model):
    """What was trained.

    Attributes:
        arch: The channels of the five stages, as `[8, 16, 24, 32, 64]`.
        num_epochs: Length of the training: 1, 12 or 90.
        dataset: `cifar10-valid`, `cifar10`, `cifar100` or `imagenet16-120`.
    """

    id = peewee.AutoField()
    arch = JSONField(index=True)
    num_epochs = peewee.IntegerField()
    dataset = peewee.CharField(max_length=20)

    class Meta:
        """The database of the space of sizes."""

        database = DATABASE


class NatsSssTrialStats(peewee.Model):
    """What came of one training, after its last epoch.

    Attributes:
        config: What was trained.
        seed: The seed of the training.
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
    config = peewee.ForeignKeyField(NatsSssTrialConfig, backref="trial_stats", index=True)
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
        """The database of the space of sizes."""

        database = DATABASE


class NatsSssIntermediateStats(peewee.Model):
    """How a training stood after one of its epochs.

    Attributes:
        trial: The training.
        current_epoch: Number of epochs done, from 1.
        train_acc: As in `NatsSssTrialStats`, and so are the others.
        valid_acc: NULL in epochs after which the benchmark did not evaluate.
        test_acc: The same.
        ori_test_acc: The same.
        train_loss: Loss of the same.
        valid_loss: Loss of the same.
        test_loss: Loss of the same.
        ori_test_loss: Loss of the same.
    """

    id = peewee.AutoField()
    trial = peewee.ForeignKeyField(NatsSssTrialStats, backref="intermediates", index=False)
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
        """The database of the space of sizes."""

        database = DATABASE
        indexes = ((("trial", "current_epoch"), True),)
