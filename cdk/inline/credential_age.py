"""How many days ago each secret was last changed, as a metric."""
import datetime
import os

import boto3


def handler(_event, _context):
    now = datetime.datetime.now(datetime.timezone.utc)
    secrets, metrics = boto3.client("secretsmanager"), boto3.client("cloudwatch")
    failed = []
    for arn in os.environ["SECRETS"].split(","):
        try:
            told = secrets.describe_secret(SecretId=arn)
            changed = told.get("LastChangedDate") or told["CreatedDate"]
        except Exception as error:
            failed.append("%s: %s" % (arn, error))
            continue
        metrics.put_metric_data(
            Namespace="Understudy",
            MetricData=[
                {
                    "MetricName": "SecretAgeDays",
                    "Dimensions": [{"Name": "Pair", "Value": os.environ["PAIR"]}, {"Name": "Secret", "Value": arn.split(":")[-1]}],
                    "Value": (now - changed).total_seconds() / 86400,
                    "Unit": "None",
                }
            ],
        )
    if failed:
        raise RuntimeError("; ".join(failed))
