namespace Notify.Sandbox;

/// <summary><c>health</c>: asks the sandbox that runs beside it whether it is ready; a container's health check.</summary>
public static class HealthCommand
{
    /// <summary>Returns the exit code: 0 when it answers.</summary>
    public static async Task<int> RunAsync()
    {
        var url = Environment.GetEnvironmentVariable("Sandbox__Url") is { Length: > 0 } own ? own : "http://127.0.0.1:5090";
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(5) };
        try
        {
            using var answer = await http.GetAsync(
                new Uri(new Uri(url.Replace("0.0.0.0", "127.0.0.1", StringComparison.Ordinal)), "/health/ready")
            );
            if (answer.IsSuccessStatusCode)
                return 0;
            Console.Error.WriteLine($"The sandbox answers {(int)answer.StatusCode} at {url}.");
        }
        catch (Exception error) when (error is HttpRequestException or TaskCanceledException or UriFormatException)
        {
            Console.Error.WriteLine($"The sandbox does not answer at {url}: {error.Message}");
        }

        return 1;
    }
}
