import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/**
 * Posts standard input to a URL with the JDK's client as it comes, which offers HTTP/2 on every new connection: twice in
 * a row, then four times at once. The body is sent whole, or in chunks of unknown length. Prints a line for each answer.
 */
class Post {
    public static void main(String[] arguments) throws Exception {
        byte[] body = System.in.readAllBytes();
        boolean inChunks = arguments[1].equals("chunked");
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .header("Content-Type", "application/json")
                .POST(inChunks
                        ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
                        : BodyPublishers.ofByteArray(body))
                .build();
        HttpClient client = HttpClient.newHttpClient();
        print(client.send(request, BodyHandlers.ofString()));
        print(client.send(request, BodyHandlers.ofString()));
        Stream.generate(() -> client.sendAsync(request, BodyHandlers.ofString()))
                .limit(4)
                .toList()
                .stream()
                .map(CompletableFuture::join)
                .forEach(Post::print);
    }

    private static void print(HttpResponse<String> answer) {
        System.out.println(answer.statusCode() + " " + answer.body());
    }
}
