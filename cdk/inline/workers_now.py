"""How many workers a service has now: a deployment leaves that as recoveries set it. A new service has none."""
import boto3
import cfnresponse


def handler(event, context):
    told = event["ResourceProperties"]
    data, status, reason = {}, cfnresponse.SUCCESS, None
    try:
        if event["RequestType"] != "Delete":
            data["Count"] = count(told["Cluster"], told["Service"])
    except Exception as error:
        status, reason = cfnresponse.FAILED, str(error)
    cfnresponse.send(event, context, status, data, told["Service"] + "-workers", reason=reason)


def count(cluster, service):
    found = boto3.client("ecs").describe_services(cluster=cluster, services=[service])
    for it in found["services"]:
        if it["status"] == "ACTIVE":
            return it["desiredCount"]
    if all(it.get("reason") == "MISSING" for it in found["failures"]):
        return 0
    raise RuntimeError("the service cannot be described: %s" % found["failures"])
