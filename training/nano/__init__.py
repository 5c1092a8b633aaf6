"""The recipe of the bundled nano model: packs of photos, vision pre-training, dialogues."""
