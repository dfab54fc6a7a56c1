def test_progress_is_printed(nstflow_run, capsys):
    nstflow_run()
    printed = capsys.readouterr().out
    assert "USE: after epoch 1, 'content' is the largest loss" in printed
    assert "holds result.png" in printed
