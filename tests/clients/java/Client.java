// Drives a Connect REST API, be it Kafka Connect's or Sandbar's, with the client org.sourcelab:kafka-connect-client, which
// reads every answer into a typed object.
//
//   java -cp 'LIB/*' Client.java URL FILE KEY=VALUE REQUIRED
//
// FILE holds what POST /connectors takes: {"name", "config"}. KEY=VALUE is a setting to update the connector with, REQUIRED
// a key it cannot do without. Ends with 1 at the first answer that Kafka Connect would not have given.

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import org.sourcelab.kafka.connect.apiclient.Configuration;
import org.sourcelab.kafka.connect.apiclient.KafkaConnectClient;
import org.sourcelab.kafka.connect.apiclient.request.dto.ConnectorPluginConfigDefinition;
import org.sourcelab.kafka.connect.apiclient.request.dto.NewConnectorDefinition;
import org.sourcelab.kafka.connect.apiclient.request.post.PostConnectorRestart;
import org.sourcelab.kafka.connect.apiclient.rest.exceptions.InvalidRequestException;

public class Client {
    // A task starts within seconds, even where something compiles beside it.
    static final long LIMIT_MILLIS = 60_000;
    static final long PAUSE_MILLIS = 200;

    final KafkaConnectClient client;
    final String name;

    Client(String url, String name) {
        this.client = new KafkaConnectClient(new Configuration(url));
        this.name = name;
    }

    static void fail(String message) {
        System.err.println("java client: " + message);
        System.exit(1);
    }

    static void check(String what, Object wanted, Object got) {
        if (!Objects.equals(wanted, got)) fail(what + ": wanted " + wanted + ", got " + got);
        System.out.println("ok " + what);
    }

    /** Holds that a call is answered with an error of Connect's shape. */
    static void refused(String what, int status, String message, Runnable call) {
        try {
            call.run();
        } catch (InvalidRequestException error) {
            check(what, List.of(status, true), List.of(error.getErrorCode(), error.getMessage().contains(message)));
            return;
        }
        fail(what + ": wanted " + status + ", got success");
    }

    /** Waits until the connector and its tasks, of which there is at least one, are in this state. */
    void become(String state) throws InterruptedException {
        long until = System.currentTimeMillis() + LIMIT_MILLIS;
        while (true) {
            String status;
            try {
                var got = client.getConnectorStatus(name);
                var tasks = got.getTasks().stream().map(task -> task.getState()).collect(Collectors.toSet());
                if (got.getConnector().get("state").equals(state) && tasks.equals(Set.of(state))) {
                    System.out.println("ok " + state);
                    return;
                }
                status = got.toString();
            } catch (InvalidRequestException error) {
                // For a moment after it was created nothing is known of it.
                status = error.getMessage();
            }
            if (System.currentTimeMillis() > until) fail("it did not become " + state + ": " + status);
            Thread.sleep(PAUSE_MILLIS);
        }
    }

    void run(Map<String, String> config, String key, String value, String required) throws InterruptedException {
        var plugin = config.get("connector.class");
        var named = new HashMap<>(config);
        named.put("name", name);

        check("the cluster is told", true, client.getConnectServerVersion().getKafkaClusterId() != null);
        var classes = client.getConnectorPlugins().stream().map(each -> each.getClassName()).collect(Collectors.toList());
        check("the plugin is listed", true, classes.contains(plugin));
        var good = new ConnectorPluginConfigDefinition(plugin, named);
        check("a good configuration", 0, client.validateConnectorPluginConfig(good).getErrorCount());
        var lacking = new HashMap<>(named);
        lacking.remove(required);
        var found = client.validateConnectorPluginConfig(new ConnectorPluginConfigDefinition(plugin, lacking));
        var faulty = found.getConfigs().stream().filter(each -> !each.getValue().getErrors().isEmpty())
            .map(each -> each.getValue().getName()).collect(Collectors.toList());
        check("a configuration that lacks a key", true, found.getErrorCount() > 0 && faulty.contains(required));
        check("it is not there yet", false, client.getConnectors().contains(name));

        var definition = new NewConnectorDefinition(name, config);
        var created = client.addConnector(definition);
        check("create", List.of(name, named), List.of(created.getName(), created.getConfig()));
        refused("create again", 409, "Connector " + name + " already exists", () -> client.addConnector(definition));
        become("RUNNING");
        check("list", true, client.getConnectors().contains(name));
        var expanded = client.getConnectorsWithAllExpandedMetadata();
        check("list with info", named, expanded.getDefinitionForConnector(name).getConfig());
        check("list with status", "RUNNING", expanded.getStatusForConnector(name).getConnector().get("state"));
        check("list with status alone", name, client.getConnectorsWithExpandedStatus().getStatusForConnector(name).getName());
        check("list with info alone", named, client.getConnectorsWithExpandedInfo().getDefinitionForConnector(name).getConfig());
        var got = client.getConnector(name);
        check("get", List.of(name, named, 0), List.of(got.getName(), got.getConfig(), got.getTasks().get(0).getTask()));
        check("get the configuration", named, client.getConnectorConfig(name));
        var task = client.getConnectorTasks(name).iterator().next().getId();
        check("tasks", List.of(name, 0), List.of(task.getConnector(), task.getTask()));
        var status = client.getConnectorTaskStatus(name, 0);
        check("a task's status", List.of(0, "RUNNING"), List.of(status.getId(), status.getState()));
        check("topics", name, client.getConnectorTopics(name).getName());
        check("reset the topics", true, client.resetConnectorTopics(name));

        var changed = new HashMap<>(named);
        changed.put(key, value);
        check("update", changed, client.updateConnectorConfig(name, changed).getConfig());
        check("the updated configuration", changed, client.getConnectorConfig(name));
        refused("update to what lacks a key", 400, required, () -> client.updateConnectorConfig(name, lacking));
        become("RUNNING");
        check("restart", true, client.restartConnector(name));
        become("RUNNING");
        check("restart with tasks", true, client.restartConnector(new PostConnectorRestart(name).withIncludeTasks(true)));
        become("RUNNING");
        check("restart a task", true, client.restartConnectorTask(name, 0));
        become("RUNNING");
        check("pause", true, client.pauseConnector(name));
        become("PAUSED");
        check("resume", true, client.resumeConnector(name));
        become("RUNNING");

        check("delete", true, client.deleteConnector(name));
        check("it is gone", false, client.getConnectors().contains(name));
        refused("get what is gone", 404, "Connector " + name + " not found", () -> client.getConnector(name));
        refused("delete what is gone", 404, "Connector " + name + " not found", () -> client.deleteConnector(name));
        refused("the status of what is gone", 404, "No status found", () -> client.getConnectorStatus(name));
        refused("pause what is gone", 404, "Unknown connector " + name, () -> client.pauseConnector(name));
        System.out.println("the java client found nothing wrong");
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 4) fail("usage: Client.java URL FILE KEY=VALUE REQUIRED");
        var definition = new ObjectMapper().readTree(new File(arguments[1]));
        var config = new HashMap<String, String>();
        definition.get("config").fields().forEachRemaining(each -> config.put(each.getKey(), each.getValue().asText()));
        var update = arguments[2].split("=", 2);
        var client = new Client(arguments[0], definition.get("name").asText());
        client.run(config, update[0], update[1], arguments[3]);
    }
}
