def test_the_file_is_a_table_of_labels(write_labels):
    assert write_labels("csv", field="codes").read_text().splitlines() == [
        "recording,name,start_time,end_time,score",
        "a/r01,TF,0.000,4.500,0.98765",
        "a/r01,WIWR,2.000,5.000,0.5",
        "b/r01,WIWR,1.500,3.000,0.25",
    ]
