import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.internals.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A member of a streams group (KIP-1071), as Kafka Streams is one, without an application. */
public class StreamsMember {
    /** Joins, commits a place on each partition that it is given, and stays until it is terminated. */
    public static void main(String[] args) throws Exception {
        String bootstrap = args[0], group = args[1], topic = args[2];
        long place = Long.parseLong(args[3]);
        var source = new StreamsRebalanceData.Subtopology(Set.of(topic), Set.of(), Map.of(), Map.of(), List.of());
        var data = new StreamsRebalanceData(UUID.randomUUID(), Optional.empty(), Map.of("0", source), Map.of());
        var config = new ConsumerConfig(new HashMap<>(Map.of(
                "bootstrap.servers", bootstrap,
                "group.id", group,
                "group.protocol", "consumer",
                "enable.auto.commit", false,
                "auto.offset.reset", "earliest",
                "key.deserializer", ByteArrayDeserializer.class,
                "value.deserializer", ByteArrayDeserializer.class)));
        var bytes = new ByteArrayDeserializer();
        var consumer = new AsyncKafkaConsumer<>(config, bytes, bytes, Optional.of(data));
        var main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                main.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        try {
            consumer.subscribe(Set.of(topic), new StreamsRebalanceListener() {
                public void onTasksRevoked(Set<StreamsRebalanceData.TaskId> tasks) {}

                public void onTasksAssigned(StreamsRebalanceData.Assignment assignment) {
                    data.setReconciledAssignment(assignment);
                }

                public void onAllTasksLost() {}
            });
            var told = new HashSet<TopicPartition>();
            while (true) {
                consumer.poll(Duration.ofMillis(100));
                for (TopicPartition given : consumer.assignment()) {
                    if (told.add(given)) {
                        consumer.commitSync(Map.of(given, new OffsetAndMetadata(place)));
                        System.out.println("committed " + given + " " + place);
                    }
                }
            }
        } catch (org.apache.kafka.common.errors.WakeupException e) {
            // Terminated.
        } finally {
            consumer.close();
        }
    }
}
