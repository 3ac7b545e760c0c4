// Drives a Connect REST API, be it Kafka Connect's or Sandbar's, with the client github.com/go-kafka/connect. It knows the
// calls that Kafka Connect had from the start, so a server that pleases it pleases old clients too.
//
//	go run . URL FILE KEY=VALUE REQUIRED
//
// FILE holds what POST /connectors takes: {"name", "config"}. KEY=VALUE is a setting to update the connector with, REQUIRED
// a key it cannot do without. Ends with 1 at the first answer that Kafka Connect would not have given.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/go-kafka/connect"
)

// A task starts within seconds, even where something compiles beside it.
const (
	limit = 60 * time.Second
	pause = 200 * time.Millisecond
)

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "go client: "+format+"\n", arguments...)
	os.Exit(1)
}

func check(what string, wanted, got any) {
	if !reflect.DeepEqual(wanted, got) {
		fail("%s: wanted %v, got %v", what, wanted, got)
	}
	fmt.Println("ok", what)
}

// succeeds holds that a call is answered with this status.
func succeeds(what string, status int, response *http.Response, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
	check(what, status, response.StatusCode)
}

// refused holds that a call is answered with an error of Connect's shape.
func refused(what string, status int, message string, err error) {
	var told connect.APIError
	if !errors.As(err, &told) {
		fail("%s: wanted %d, got %v", what, status, err)
	}
	check(what, []any{status, true}, []any{told.Code, strings.Contains(told.Message, message)})
}

// become waits until the connector and its tasks, of which there is at least one, are in this state.
func become(client *connect.Client, name, state string) {
	until := time.Now().Add(limit)
	for {
		// For a moment after it was created nothing is known of it.
		status, _, err := client.GetConnectorStatus(name)
		if err == nil && status.Connector.State == state && len(status.Tasks) > 0 {
			all := true
			for _, task := range status.Tasks {
				all = all && task.State == state
			}
			if all {
				fmt.Println("ok", state)
				return
			}
		}
		if time.Now().After(until) {
			fail("it did not become %s: %+v, %v", state, status, err)
		}
		time.Sleep(pause)
	}
}

func contains(client *connect.Client, name string) bool {
	names, response, err := client.ListConnectors()
	succeeds("list", http.StatusOK, response, err)
	for _, each := range names {
		if each == name {
			return true
		}
	}
	return false
}

func main() {
	if len(os.Args) != 5 {
		fail("usage: main URL FILE KEY=VALUE REQUIRED")
	}
	key, value, _ := strings.Cut(os.Args[3], "=")
	required := os.Args[4]
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		fail("%v", err)
	}
	var definition connect.Connector
	if err := json.Unmarshal(text, &definition); err != nil {
		fail("%s: %v", os.Args[2], err)
	}
	name := definition.Name
	with := func(change func(connect.ConnectorConfig)) connect.ConnectorConfig {
		config := connect.ConnectorConfig{"name": name}
		for key, value := range definition.Config {
			config[key] = value
		}
		change(config)
		return config
	}
	named := with(func(connect.ConnectorConfig) {})
	changed := with(func(config connect.ConnectorConfig) { config[key] = value })
	lacking := with(func(config connect.ConnectorConfig) { delete(config, required) })
	// The client resolves its paths against this.
	client := connect.NewClient(strings.TrimRight(os.Args[1], "/") + "/")

	check("it is not there yet", false, contains(client, name))
	created := connect.Connector{Name: name, Config: definition.Config}
	response, err := client.CreateConnector(&created)
	succeeds("create", http.StatusCreated, response, err)
	check("what was created", named, created.Config)
	_, err = client.CreateConnector(&connect.Connector{Name: name, Config: definition.Config})
	refused("create again", http.StatusConflict, "Connector "+name+" already exists", err)
	become(client, name, "RUNNING")
	check("it is there", true, contains(client, name))
	got, response, err := client.GetConnector(name)
	succeeds("get", http.StatusOK, response, err)
	check("what was got", []any{name, named, connect.TaskID{ConnectorName: name, ID: 0}}, []any{got.Name, got.Config, got.Tasks[0]})
	config, response, err := client.GetConnectorConfig(name)
	succeeds("get the configuration", http.StatusOK, response, err)
	check("the configuration", named, config)
	tasks, response, err := client.GetConnectorTasks(name)
	succeeds("tasks", http.StatusOK, response, err)
	check("the first task", connect.TaskID{ConnectorName: name, ID: 0}, tasks[0].ID)

	updated, response, err := client.UpdateConnectorConfig(name, changed)
	succeeds("update", http.StatusOK, response, err)
	check("what was updated", changed, updated.Config)
	_, _, err = client.UpdateConnectorConfig(name, lacking)
	refused("update to what lacks a key", http.StatusBadRequest, required, err)
	become(client, name, "RUNNING")
	response, err = client.RestartConnector(name)
	succeeds("restart", http.StatusNoContent, response, err)
	become(client, name, "RUNNING")
	response, err = client.PauseConnector(name)
	succeeds("pause", http.StatusAccepted, response, err)
	become(client, name, "PAUSED")
	response, err = client.ResumeConnector(name)
	succeeds("resume", http.StatusAccepted, response, err)
	become(client, name, "RUNNING")

	response, err = client.DeleteConnector(name)
	succeeds("delete", http.StatusNoContent, response, err)
	check("it is gone", false, contains(client, name))
	_, _, err = client.GetConnector(name)
	refused("get what is gone", http.StatusNotFound, "Connector "+name+" not found", err)
	_, err = client.DeleteConnector(name)
	refused("delete what is gone", http.StatusNotFound, "Connector "+name+" not found", err)
	_, err = client.PauseConnector(name)
	refused("pause what is gone", http.StatusNotFound, "Unknown connector "+name, err)
	_, response, err = client.UpdateConnectorConfig(name, named)
	succeeds("create by update", http.StatusCreated, response, err)
	response, err = client.DeleteConnector(name)
	succeeds("delete again", http.StatusNoContent, response, err)
	fmt.Println("the go client found nothing wrong")
}
