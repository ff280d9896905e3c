namespace Notify.Delivery.Hosting;

using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;

/// <summary>
/// Asks the host in the same container whether it is ready: the container's health check, as its image has no other HTTP client.
/// </summary>
public static class HealthCommand
{
    /// <summary>Asks <c>/health/ready</c> at the address that the host listens on, by the same settings.</summary>
    /// <returns>The exit code: 0 when it is ready.</returns>
    public static async Task<int> RunAsync(string name, string[] args, string defaultUrl)
    {
        var configuration = new ConfigurationBuilder()
            .AddEnvironmentVariables("ASPNETCORE_")
            .AddEnvironmentVariables()
            .AddCommandLine(args)
            .Build();
        var listens = configuration[WebHostDefaults.ServerUrlsKey] is { Length: > 0 } urls ? urls.Split(';')[0] : defaultUrl;
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(5) };
        try
        {
            using var answer = await http.GetAsync(new Uri(Reachable(listens), "/health/ready"));
            return answer.IsSuccessStatusCode ? 0 : NotifyHost.Fail(name, $"not ready: {await answer.Content.ReadAsStringAsync()}");
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException or SocketException)
        {
            return NotifyHost.Fail(name, $"does not answer at {listens}: {e.Message}");
        }
        catch (UriFormatException)
        {
            return NotifyHost.Fail(name, $"\"{listens}\" is no address to listen on; set ASPNETCORE_URLS, e.g. http://+:8080");
        }
    }

    // A host that listens on every address is asked on this machine's own.
    private static Uri Reachable(string url) =>
        new(
            url.Replace("://+", "://127.0.0.1", StringComparison.Ordinal)
                .Replace("://*", "://127.0.0.1", StringComparison.Ordinal)
                .Replace("://0.0.0.0", "://127.0.0.1", StringComparison.Ordinal)
                .Replace("://[::]", "://[::1]", StringComparison.Ordinal)
        );
}
