import pytest

from natless.lambda_host.function_name import FunctionName

REGION, ACCOUNT = "eu-central-1", "123456789012"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("orders", FunctionName("orders")),
        ("orders:$LATEST", FunctionName("orders", "$LATEST")),
        ("orders:live", FunctionName("orders", "live")),
        ("function:orders", FunctionName("orders")),
        (f"{ACCOUNT}:function:orders", FunctionName("orders", account=ACCOUNT)),
        (f"{ACCOUNT}:function:orders:7", FunctionName("orders", "7", account=ACCOUNT)),
        (
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders",
            FunctionName("orders", "", REGION, ACCOUNT),
        ),
        (
            f"arn:aws-us-gov:lambda:us-gov-west-1:{ACCOUNT}:function:a_b-C:live",
            FunctionName("a_b-C", "live", "us-gov-west-1", ACCOUNT),
        ),
    ],
)
def test_every_form_of_a_name_is_taken_apart(text, meant):
    assert FunctionName.parse(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "or ders",
        "orders\n",
        "orders:",
        "orders:$OLD",
        "x" * 65,
        "123:function:orders",
        f"arn:aws:s3:{REGION}:{ACCOUNT}:function:orders",
        f"arn:aws:lambda:nowhere:{ACCOUNT}:function:orders",
        "../orders",
    ],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ValueError, match="no function name"):
        FunctionName.parse(text)
