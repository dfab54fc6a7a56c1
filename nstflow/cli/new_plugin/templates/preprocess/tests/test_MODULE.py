from MODULE import CLASS

from nstflow.testing import check_stage


def test_the_stage_meets_its_contract():
    check_stage(CLASS)


def test_a_recipe_can_name_it(nstflow_run):
    result = nstflow_run(preprocess=[{"use": "USE"}])
    assert result.files[0].is_file()
