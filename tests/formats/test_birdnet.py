import csv


def test_the_columns_are_those_of_birdnet_with_alternative_names_as_scientific_ones(write_labels):
    with write_labels("birdnet").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File"],
        ["0.000", "4.500", "Hyla arborea", "Tree frog", "0.9877", "field/a/r01.wav"],
        ["2.000", "5.000", "Wren, winter", "Wren, winter", "0.5000", "field/a/r01.wav"],
        ["1.500", "3.000", "Wren, winter", "Wren, winter", "0.2500", "field/b/r01.wav"],
    ]
