namespace Notify.Bench;

using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;

/// <summary>The people that are written to: each with one iOS device and one phone.</summary>
internal sealed class BenchUsers(BenchSettings settings, HttpClient http)
{
    /// <summary>Their IDs begin with it.</summary>
    public const string Prefix = "bench-";

    /// <summary>Registers those that are missing.</summary>
    public async Task RegisterAsync() =>
        await Parallel.ForAsync(
            0,
            settings.Users,
            new ParallelOptions { MaxDegreeOfParallelism = 16 },
            async (n, _) =>
            {
                var user = $"{Prefix}{n:D5}";
                await SendAsync(
                    HttpMethod.Put,
                    $"/v1/users/{user}",
                    new
                    {
                        phone = $"+8210{40_000_000 + n}",
                        locale = "ko",
                        timeZone = "Asia/Seoul",
                    }
                );
                var token = "5e" + Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(user)))[2..];
                await SendAsync(HttpMethod.Post, $"/v1/users/{user}/devices", new { platform = "ios", token });
            }
        );

    private async Task SendAsync(HttpMethod method, string path, object body)
    {
        using var request = new HttpRequestMessage(method, new Uri(settings.Api, path))
        {
            Headers = { Authorization = AuthenticationHeaderValue.Parse(settings.Authorization) },
            Content = JsonContent.Create(body),
        };
        using var response = await http.SendAsync(request);
        if (!response.IsSuccessStatusCode)
            throw new BenchException($"{method} {path} was answered {response.StatusCode}: {await response.Content.ReadAsStringAsync()}");
    }
}
