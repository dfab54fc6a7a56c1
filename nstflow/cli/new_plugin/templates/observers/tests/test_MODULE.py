def test_it_tells_of_a_run(nstflow_run, capsys):
    nstflow_run()
    told = capsys.readouterr().out
    assert "USE: after epoch 1, 'content' is the largest loss" in told
    assert "holds result.png" in told
