from infra import packs


def test_a_pack_gives_back_its_records_whatever_is_in_them() -> None:
    records = [b"", b"a", b"\0" * 70_000, "ü".encode()]
    assert packs.decode(packs.encode(records), 4) == packs.Pack(records)


def test_one_broken_record_does_not_take_its_neighbours_along() -> None:
    blob = bytearray(packs.encode([b"first", b"second", b"third"]))
    blob[blob.index(b"second")] ^= 1
    pack = packs.decode(bytes(blob), 3)
    assert pack.records == [b"first", None, b"third"]
    assert pack.reason == "the record fails its checksum"


def test_a_pack_whose_data_was_cut_off_loses_only_what_is_missing() -> None:
    blob = packs.encode([b"first", b"second", b"third"])
    assert packs.decode(blob[:-2], 3).records == [b"first", b"second", None]


def test_a_pack_with_broken_tables_is_lost_whole_and_says_why() -> None:
    blob = bytearray(packs.encode([b"first", b"second"]))
    blob[16] ^= 1
    assert packs.decode(bytes(blob), 2) == packs.Pack([None, None], "the pack's tables fail their checksum")
    assert packs.decode(b"MLP1", 2).reason == "the pack is 4 bytes long, too short for 2 records"
    assert packs.decode(b"XXXX" + bytes(blob[4:]), 2).reason == "the pack begins with b'XXXX' instead of b'MLP1'"
    assert packs.decode(packs.encode([b"a", b"b", b"c"]), 2).reason == "the pack says 3 records where the log says 2"
