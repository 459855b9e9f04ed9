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
 * "failed" and why. The broker runs until the caller sends another line, which is answered "down", or is gone; or until
 * it gives up, which closes the connection.
 */
public final class BrokerHost {
    /** Who asked for the broker that a thread belongs to: threads of a broker come from the one that started it. */
    private static final InheritableThreadLocal<SocketChannel> CALLER = new InheritableThreadLocal<>();

    public static void main(String[] arguments) throws IOException {
        // A broker that gives up must not end the others.
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
        IllegalStateException end = new IllegalStateException("a broker would end the JVM, " + status + ": " + message);
        SocketChannel caller = CALLER.get();
        if (caller != null) {
            end.printStackTrace();
            try {
                caller.close();
            } catch (IOException error) {
                end.addSuppressed(error);
            }
        }
        throw end;
    }

    private static void accept(ServerSocketChannel server) {
        try {
            while (true) {
                SocketChannel caller = server.accept();
                new Thread(() -> serve(caller), "host-caller").start();
            }
        } catch (IOException | RuntimeException | Error error) {
            // Whoever asks from now on would wait for ever.
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private static void serve(SocketChannel caller) {
        try (caller; BufferedReader lines = new BufferedReader(Channels.newReader(caller, StandardCharsets.UTF_8))) {
            String path = lines.readLine();
            if (path == null) {
                return;
            }
            CALLER.set(caller);
            answer(caller, run(path, caller, lines));
        } catch (IOException gone) {
            // It waits for no answer.
        }
    }

    /** Runs a broker to its end; the last answer. What it throws need not be declared: much of it is Scala. */
    private static String run(String path, SocketChannel caller, BufferedReader lines) {
        String last = "down";
        KafkaRaftServer broker = null;
        try {
            broker = new KafkaRaftServer(config(path), Time.SYSTEM);
            broker.startup();
            toldToEnd(caller, lines);
        } catch (Throwable error) {
            last = failed(error);
        }
        try {
            if (broker != null) {
                broker.shutdown();
                broker.awaitShutdown();
            }
        } catch (Throwable error) {
            last = failed(error);
        }
        return last;
    }

    /** Says that the broker is up, and waits until the caller wants it to end, or is gone. */
    private static void toldToEnd(SocketChannel caller, BufferedReader lines) {
        try {
            answer(caller, "up");
            lines.readLine();
        } catch (IOException gone) {
            // As good as told.
        }
    }

    private static String failed(Throwable error) {
        error.printStackTrace();
        return "failed " + chain(error);
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
