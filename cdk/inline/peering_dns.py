"""Lets names of one network be resolved in the other: a peering's DNS option, of one side."""
import time

import boto3
import cfnresponse

OPTIONS = {"requester": "RequesterPeeringConnectionOptions", "accepter": "AccepterPeeringConnectionOptions"}


def handler(event, context):
    told = event["ResourceProperties"]
    try:
        # When it is deleted the peering is too, or soon.
        if event["RequestType"] != "Delete":
            allow(told["Peering"], OPTIONS[told["Side"]], context)
        status, reason = cfnresponse.SUCCESS, None
    except Exception as error:
        status, reason = cfnresponse.FAILED, str(error)
    cfnresponse.send(event, context, status, {}, told["Peering"] + "-" + told["Side"], reason=reason)


def allow(peering, option, context):
    ec2 = boto3.client("ec2")
    while True:
        try:
            return ec2.modify_vpc_peering_connection_options(
                VpcPeeringConnectionId=peering, **{option: {"AllowDnsResolutionFromRemoteVpc": True}}
            )
        except ec2.exceptions.ClientError:
            # An accepted peering takes moments to become active.
            if context.get_remaining_time_in_millis() < 15000:
                raise
            time.sleep(5)
