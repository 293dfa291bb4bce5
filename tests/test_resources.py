"""What jobs ask a cluster for grows with their data."""

import copy

import yaml

from sfsc import resources
from sfsc.config import ROOT

LANDMARKS = yaml.safe_load((ROOT / "config" / "landmarks.yaml").read_text())


def changed(section="", name="", **entries):
    config = copy.deepcopy(LANDMARKS)
    (config[section][name] if section else config).update(entries)
    return config


def test_training_asks_for_what_its_passes_and_processes_take():
    memory, minutes = resources.train(LANDMARKS, "resnet18")
    assert 12 < minutes / 60 < 48
    alone = changed(gpu=False, threads=1)
    assert resources.train(alone, "resnet18")[1] > 50 * minutes
    shared_memory, shared = resources.train(changed(processes=4), "resnet18")
    assert abs(shared_memory - 4 * memory) < 4  # each is rounded
    assert 3.8 < minutes / shared < 4
    of_two_nodes, halved = resources.train(changed(nodes=2), "resnet18")
    assert of_two_nodes == memory
    assert 1.9 < minutes / halved < 2
    third = changed("train_sets", "resnet18", class_fraction=0.3)
    assert 0.3 < resources.train(third, "resnet18")[1] / minutes < 0.31


def test_images_in_memory_count():
    config = changed("train_sets", "resnet18", training={"decoding_threads": 0})
    assert resources.train(config, "resnet18")[0] > 1_580_470 * 224**2 * 3 / 2**20


def test_images_decoded_on_the_way_count_by_threads_batch_and_size():
    memory, _ = resources.train(LANDMARKS, "resnet18")
    few, large = changed(), changed("train_sets", "resnet18", image_size=448)
    few["training"]["decoding_threads"] = 1
    assert 3000 + 4096 * 3 * 224**2 / 2**20 < resources.train(few, "resnet18")[0] < memory
    assert resources.train(large, "resnet18")[0] > memory + 3 * 4096 * 3 * 224**2 / 2**20


def test_lists_at_hand_are_what_counts(tmp_path):
    config = changed("eval_sets", "gldv2-resnet18", path=str(tmp_path))
    of_all = resources.embed(config, "gldv2-resnet18")[1]
    (tmp_path / "index.csv").write_text("id\n" + "0123456789abcdef\n" * 1000)
    assert resources.embed(config, "gldv2-resnet18")[1] < of_all / 2


def test_distractors_and_embeddings_take_time():
    more = changed("eval_sets", "roxford5k-resnet18", distractors="data/real/revisitop1m")
    name = "roxford5k-resnet18"
    assert resources.embed(more, name)[1] > 2 * resources.embed(LANDMARKS, name)[1]
    few, many = resources.evaluate(10), resources.evaluate(10_000)
    assert many[0] > few[0]
    assert many[1] > few[1]


def test_packing_is_shared_by_threads():
    entry = LANDMARKS["train_sets"]["resnet18"]
    assert resources.pack(entry, 16)[1] < resources.pack(entry, 2)[1]
