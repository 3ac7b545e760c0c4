#!/usr/bin/env python3
"""Drives a Connect REST API, be it Kafka Connect's or Sandbar's, with the kafka-connect-py client and its command kc.

    python.py URL FILE KEY=VALUE REQUIRED

FILE holds what POST /connectors takes: {"name", "config"}. KEY=VALUE is a setting to update the connector with, REQUIRED
a key it cannot do without. Ends with 1 at the first answer that Kafka Connect would not have given.
"""

import json
import os
import subprocess
import sys
import time

import requests
from kafka_connect import KafkaConnect

# A task starts within seconds, even where something compiles beside it.
LIMIT_SECONDS = 60


def check(what, wanted, got):
    if wanted != got:
        sys.exit(f"python client: {what}: wanted {wanted!r}, got {got!r}")
    print(f"ok {what}")


def refused(what, status, message, call, *arguments):
    """Holds that a call is answered with an error of Connect's shape."""
    try:
        call(*arguments)
    except requests.HTTPError as error:
        body = error.response.json()
        check(what, (status, status, True), (error.response.status_code, body["error_code"], message in body["message"]))
    else:
        sys.exit(f"python client: {what}: wanted {status}, got success")


def main(url, file, update, required):
    with open(file, encoding="utf-8") as opened:
        definition = json.load(opened)
    name, config = definition["name"], definition["config"]
    named = {"name": name, **config}
    plugin = config["connector.class"]
    key, value = update.split("=", 1)
    client = KafkaConnect(url)

    def become(state, tasks=None):
        """Waits until the connector, and its tasks if there are to be any, are in this state."""
        until = time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                status = client.get_connector_status(name)
                states = {task["state"] for task in status["tasks"]}
            except requests.HTTPError as error:
                # For a moment after it was created nothing is known of it.
                status, states = error.response.text, None
            else:
                if status["connector"]["state"] == state and states == (tasks or set()):
                    return print(f"ok {state}")
            if time.monotonic() > until:
                sys.exit(f"python client: it did not become {state} with tasks {tasks}: {status}")
            time.sleep(0.2)

    running = {"RUNNING"}
    check("the cluster's keys", {"version", "commit", "kafka_cluster_id"}, set(client.get_cluster_info()))
    check("the plugin is listed", True, plugin in [each["class"] for each in client.list_connector_plugins()])
    check("a good configuration", 0, client.validate_connector_config(plugin, named)["error_count"])
    lacking = {each: named[each] for each in named if each != required}
    found = client.validate_connector_config(plugin, lacking)
    faulty = [each["value"]["name"] for each in found["configs"] if each["value"]["errors"]]
    check("a configuration that lacks a key", (True, True), (found["error_count"] > 0, required in faulty))
    check("it is not there yet", False, name in client.list_connectors())

    created = client.create_connector(definition)
    check("create", (name, named), (created["name"], created["config"]))
    refused("create again", 409, f"Connector {name} already exists", client.create_connector, definition)
    become("RUNNING", running)
    check("list", True, name in client.list_connectors())
    check("list what runs", True, name in client.list_connectors(state="running"))
    check("list by pattern", [name], client.list_connectors(pattern=f"{name}$"))
    check("list with status", "RUNNING", client.list_connectors(expand="status")[name]["status"]["connector"]["state"])
    check("list with info", named, client.list_connectors(expand="info")[name]["info"]["config"])
    got = client.get_connector(name)
    check("get", (name, named, {"connector": name, "task": 0}), (got["name"], got["config"], got["tasks"][0]))
    check("get the configuration", named, client.get_connector_config(name))
    check("tasks", {"connector": name, "task": 0}, client.list_connector_tasks(name)[0]["id"])
    check("a task's status", (0, "RUNNING"), tuple(client.get_connector_task_status(name, 0)[it] for it in ("id", "state")))
    check("topics", [name], list(client.list_connector_topics(name)))
    check("reset the topics", None, client.reset_connector_topics(name))

    changed = {**named, key: value}
    check("update", changed, client.update_connector(name, changed)["config"])
    check("the updated configuration", changed, client.get_connector_config(name))
    refused("update to what lacks a key", 400, required, client.update_connector, name, lacking)
    become("RUNNING", running)
    check("restart", None, client.restart_connector(name))
    become("RUNNING", running)
    check("restart with tasks", name, client.restart_connector(name, include_tasks=True)["name"])
    become("RUNNING", running)
    check("restart what failed", name, client.restart_connector(name, include_tasks=True, only_failed=True)["name"])
    check("restart a task", None, client.restart_connector_task(name, 0))
    become("RUNNING", running)
    check("pause", None, client.pause_connector(name))
    become("PAUSED", {"PAUSED"})
    check("resume", None, client.resume_connector(name))
    become("RUNNING", running)
    check("stop", None, client.stop_connector(name))
    become("STOPPED")
    check("no tasks while stopped", [], client.list_connector_tasks(name))
    check("resume after that", None, client.resume_connector(name))
    become("RUNNING", running)

    def kc(*arguments):
        command = [os.path.join(os.path.dirname(sys.executable), "kc"), "--url", url, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            return json.loads(ran.stdout)
        except json.JSONDecodeError:
            sys.exit(f"python client: kc {' '.join(arguments)}: {ran.stdout}{ran.stderr}")

    check("kc info", client.get_cluster_info(), kc("info"))
    check("kc list", True, name in kc("list", "--state", "RUNNING"))
    check("kc get", changed, kc("get", name)["config"])
    check("kc config", changed, kc("config", name))
    check("kc update", named, kc("update", name, "--config-data", json.dumps(named))["config"])
    check("kc status", name, kc("status", name)["name"])
    check("kc restart", name, kc("restart", name, "--include-tasks")["name"])
    check("kc list-plugins", client.list_connector_plugins(), kc("list-plugins"))

    check("delete", None, client.delete_connector(name))
    check("it is gone", False, name in client.list_connectors())
    for what, call in [("get", client.get_connector), ("delete", client.delete_connector)]:
        refused(f"{what} what is gone", 404, f"Connector {name} not found", call, name)
    refused("the status of what is gone", 404, f"No status found for connector {name}", client.get_connector_status, name)
    for what, call in [("pause", client.pause_connector), ("resume", client.resume_connector)]:
        refused(f"{what} what is gone", 404, f"Unknown connector {name}", call, name)
    print("the python client found nothing wrong")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: python.py URL FILE KEY=VALUE REQUIRED")
    main(sys.argv[1].rstrip("/"), *sys.argv[2:])
