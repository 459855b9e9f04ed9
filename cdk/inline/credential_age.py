"""How many days ago each secret was last changed, as a metric."""
import datetime
import os

import boto3

# What is told of a secret that cannot be looked at: older than anybody agreed to. Saying nothing would be taken for the age
# of the others.
UNTOLD = 9999


def handler(_event, _context):
    now = datetime.datetime.now(datetime.timezone.utc)
    secrets, metrics = boto3.client("secretsmanager"), boto3.client("cloudwatch")
    failed, ages = [], []
    for arn in os.environ["SECRETS"].split(","):
        try:
            told = secrets.describe_secret(SecretId=arn)
            changed = told.get("LastChangedDate") or told["CreatedDate"]
            days = (now - changed).total_seconds() / 86400
        except Exception as error:
            failed.append("%s: %s" % (arn, error))
            days = UNTOLD
        ages.append(
            {
                "MetricName": "SecretAgeDays",
                "Dimensions": [{"Name": "Pair", "Value": os.environ["PAIR"]}, {"Name": "Secret", "Value": arn.split(":")[-1]}],
                "Value": days,
                "Unit": "None",
            }
        )
    # All or none, so that one that is missing is never hidden by the others.
    metrics.put_metric_data(Namespace="Understudy", MetricData=ages)
    if failed:
        raise RuntimeError("; ".join(failed))
