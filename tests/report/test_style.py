from sfsc.report.style import method_looks


def test_methods_are_told_apart_and_chance_takes_no_colour():
    methods = [f"method{number}" for number in range(9)]
    looks = method_looks(methods)
    assert len({looks[method].colour for method in methods}) == 9
    assert len({looks[method].marker for method in methods}) == 9
    with_chance = method_looks(["chance", *methods])
    assert with_chance == looks
    assert with_chance["chance"].colour not in {looks[method].colour for method in methods}


def test_more_methods_than_colours_still_have_a_look():
    assert len(method_looks([f"method{number}" for number in range(30)])) == 31
