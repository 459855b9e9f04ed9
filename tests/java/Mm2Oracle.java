import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.mirror.*;

/** What MirrorMaker 2's own client library makes of a cluster, and what Connect's own converter writes. */
public class Mm2Oracle {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "look" -> look(args[1], args[2], args[3], args[4], Arrays.asList(args).subList(5, args.length));
            case "store" -> store(args[1], args[2], args[3], args[4], Arrays.asList(args).subList(5, args.length));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    /** Prints one line for each answer: what, and the answer. */
    private static void look(String bootstrap, String policy, String separator, String alias, List<String> groups)
            throws Exception {
        Map<String, Object> props = new HashMap<>();
        props.put("bootstrap.servers", bootstrap);
        props.put("replication.policy.class", "org.apache.kafka.connect.mirror." + policy);
        props.put("replication.policy.separator", separator);
        props.put("source.cluster.alias", alias);
        try (MirrorClient client = new MirrorClient(props)) {
            System.out.println("heartbeatTopics " + new TreeSet<>(client.heartbeatTopics()));
            System.out.println("checkpointTopics " + new TreeSet<>(client.checkpointTopics()));
            System.out.println("upstreamClusters " + new TreeSet<>(client.upstreamClusters()));
            System.out.println("replicationHops " + client.replicationHops(alias));
            System.out.println("remoteTopics " + new TreeSet<>(client.remoteTopics(alias)));
        }
        for (String group : groups) {
            var places = RemoteClusterUtils.translateOffsets(props, alias, group, Duration.ofSeconds(30));
            for (var place : places.entrySet()) {
                var partition = place.getKey();
                System.out.println("place " + group + " " + partition.topic() + " " + partition.partition()
                        + " " + place.getValue().offset());
            }
        }
    }

    /** Stores places as Connect does: each is topic:partition:offset. */
    private static void store(String bootstrap, String topic, String connector, String alias, List<String> places)
            throws Exception {
        var converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", "false"), true);
        Map<String, Object> props = Map.of("bootstrap.servers", bootstrap, "acks", "all");
        try (var producer = new KafkaProducer<>(props, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String place : places) {
                String[] parts = place.split(":");
                var partition = Map.of("cluster", alias, "topic", parts[0], "partition", Integer.parseInt(parts[1]));
                byte[] key = converter.fromConnectData("store", null, List.of(connector, partition));
                byte[] value = converter.fromConnectData("store", null, Map.of("offset", Long.parseLong(parts[2])));
                producer.send(new ProducerRecord<>(topic, key, value)).get();
            }
        }
    }
}
