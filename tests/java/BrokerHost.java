import java.io.BufferedReader;
import java.io.IOException;
import java.io.Reader;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.common.utils.Time;

/**
 * Runs brokers for whoever asks, all in this JVM: its classes are loaded and its code is compiled once, so that each but
 * the first starts in a fraction of a second.
 *
 * <p>A caller connects to the socket and sends the path of a broker's properties as one line. It is answered "up", or
 * "failed" and why. The broker runs until the caller sends another line, which is answered "down", or is gone.
 */
public final class BrokerHost {
    public static void main(String[] arguments) throws IOException {
        // A broker that gives up must not end the others: only its thread ends.
        Exit.setExitProcedure(BrokerHost::giveUp);
        Exit.setHaltProcedure(BrokerHost::giveUp);
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(arguments[0]));
        Thread accepting = new Thread(() -> accept(server), "host-accept");
        accepting.setDaemon(true);
        accepting.start();
        // Whoever started this holds the other end, and nothing comes from there until it is gone.
        while (System.in.read() >= 0) {
            continue;
        }
        Runtime.getRuntime().halt(0);
    }

    private static void giveUp(int status, String message) {
        throw new IllegalStateException("a broker would end the JVM with " + status + ": " + message);
    }

    private static void accept(ServerSocketChannel server) {
        while (true) {
            try {
                SocketChannel caller = server.accept();
                new Thread(() -> serve(caller), "host-caller").start();
            } catch (IOException error) {
                error.printStackTrace();
                return;
            }
        }
    }

    private static void serve(SocketChannel caller) {
        try (caller; BufferedReader lines = new BufferedReader(Channels.newReader(caller, StandardCharsets.UTF_8))) {
            String path = lines.readLine();
            if (path == null) {
                return;
            }
            KafkaRaftServer broker = null;
            try {
                broker = new KafkaRaftServer(config(path), Time.SYSTEM);
                broker.startup();
                answer(caller, "up");
                lines.readLine();
            } catch (RuntimeException | Error error) {
                error.printStackTrace();
                answer(caller, "failed " + chain(error));
            } finally {
                if (broker != null) {
                    broker.shutdown();
                    broker.awaitShutdown();
                }
            }
            answer(caller, "down");
        } catch (IOException | RuntimeException error) {
            // A caller that is gone waits for no answer.
            error.printStackTrace();
        }
    }

    private static KafkaConfig config(String path) throws IOException {
        Properties properties = new Properties();
        try (Reader reader = Files.newBufferedReader(Path.of(path))) {
            properties.load(reader);
        }
        return KafkaConfig.fromProps(properties, false);
    }

    private static String chain(Throwable error) {
        StringBuilder text = new StringBuilder(error.toString());
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            text.append(": ").append(cause);
        }
        return text.toString().replace('\n', ' ');
    }

    private static void answer(SocketChannel caller, String line) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) {
            caller.write(bytes);
        }
    }
}
