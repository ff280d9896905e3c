namespace Notify.Api.Templates;

using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Delivery.Hosting;
using Notify.Infrastructure.Hosting;

/// <summary>
/// <c>templates pull|push [DIR]</c>: brings templates and layouts out of a running Notify into files, and from files into it.
/// Settings: <c>NOTIFY_API</c>, the Api's address, and <c>NOTIFY_KEY</c>, <c>appKey:appSecret</c> of a client with the scope templates.
/// </summary>
public static class TemplatesCommand
{
    private const string Name = "notify";

    /// <summary>Runs the command.</summary>
    /// <param name="args">The arguments after <c>templates</c>.</param>
    /// <returns>The exit code: 0 all done, 1 something was rejected, 2 wrong arguments.</returns>
    public static async Task<int> RunAsync(string[] args)
    {
        var folder = Path.GetFullPath(args.ElementAtOrDefault(1) ?? "templates");
        if (args.Length is 0 or > 2 || args[0] is not ("pull" or "push"))
        {
            Console.Error.WriteLine(
                $"{Name}: templates pull [DIR] writes templates into files, templates push [DIR] defines them from files; DIR is templates"
            );
            return 2;
        }

        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false })
        {
            BaseAddress = new Uri(Environment.GetEnvironmentVariable("NOTIFY_API") is { Length: > 0 } url ? url : "http://127.0.0.1:5080"),
            Timeout = TimeSpan.FromSeconds(60),
        };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(
            "Basic",
            Convert.ToBase64String(Encoding.UTF8.GetBytes(Environment.GetEnvironmentVariable("NOTIFY_KEY") ?? ""))
        );
        try
        {
            return args[0] == "pull" ? await PullAsync(http, folder) : await PushAsync(http, folder);
        }
        catch (HttpRequestException e)
        {
            return NotifyHost.Fail(Name, $"Notify does not answer at {http.BaseAddress}: {e.Message}; ./notify up starts it");
        }
        catch (TaskCanceledException)
        {
            return NotifyHost.Fail(Name, $"Notify does not answer at {http.BaseAddress} in time");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return NotifyHost.Fail(Name, e.Message);
        }
    }

    private static async Task<int> PullAsync(HttpClient http, string folder)
    {
        var (list, fault) = await GetAsync(http, "/v1/templates");
        if (list is null)
            return NotifyHost.Fail(Name, fault!);
        var (layouts, layoutFault) = await GetAsync(http, "/v1/layouts");
        if (layouts is null)
            return NotifyHost.Fail(Name, layoutFault!);
        Directory.CreateDirectory(folder);
        foreach (var layout in layouts["layouts"]!.AsArray())
            TemplateFiles.WriteLayout(Path.Combine(folder, TemplateFiles.Layouts, $"{layout!["key"]}"), layout);
        var count = 0;
        foreach (var key in list["templates"]!.AsArray().Where(t => !t!["isArchived"]!.GetValue<bool>()).Select(t => $"{t!["key"]}"))
        {
            var (template, missing) = await GetAsync(http, $"/v1/templates/{key}");
            if (template is null)
                return NotifyHost.Fail(Name, missing!);
            TemplateFiles.WriteTemplate(Path.Combine(folder, key), template);
            count++;
        }

        // They would be brought back by the next push.
        foreach (var key in list["templates"]!.AsArray().Where(t => t!["isArchived"]!.GetValue<bool>()).Select(t => $"{t!["key"]}"))
        {
            if (TemplateFiles.RemoveTemplate(Path.Combine(folder, key)))
                Console.WriteLine($"template {key} is archived: its files are taken out of {folder}");
        }

        Console.WriteLine($"{count} templates and {layouts["layouts"]!.AsArray().Count} layouts are in {folder}.");
        return 0;
    }

    private static async Task<int> PushAsync(HttpClient http, string folder)
    {
        if (!Directory.Exists(folder))
            return NotifyHost.Fail(Name, $"there is no folder {folder}; ./notify templates pull makes one");
        var (same, changed, refused) = (0, 0, 0);
        var layouts = Folders(Path.Combine(folder, TemplateFiles.Layouts))
            .Select(f => (Folder: f, Read: TemplateFiles.ReadLayout(f)))
            .ToList();
        foreach (var (from, read) in OutermostFirst(layouts))
            await OneAsync("layout", from, read);
        foreach (var from in Folders(folder).Where(f => Path.GetFileName(f) != TemplateFiles.Layouts && TemplateFiles.IsTemplate(f)))
            await OneAsync("template", from, TemplateFiles.ReadTemplate(from));
        Console.WriteLine($"{changed} changed, {same} as they were, {refused} refused.");
        return refused == 0 ? 0 : 1;

        async Task OneAsync(string kind, string from, (JsonObject? Body, string? Fault) read)
        {
            var key = Path.GetFileName(from);
            var (answer, fault) = read.Body is null
                ? (null, read.Fault)
                : await PutAsync(http, $"/v1/{kind}s/{Uri.EscapeDataString(key)}", read.Body);
            if (fault is not null)
            {
                refused++;
                Console.Error.WriteLine($"{Name}: the {kind} {key} is refused: {fault}");
            }
            else if (answer is null)
                same++;
            else
            {
                changed++;
                Console.WriteLine($"{kind} {key}: version {answer["version"]}");
            }
        }
    }

    // A layout may name another one that is among the files too, which must be there first.
    private static IEnumerable<(string Folder, (JsonObject? Body, string? Fault) Read)> OutermostFirst(
        List<(string Folder, (JsonObject? Body, string? Fault) Read)> layouts
    )
    {
        var left = layouts.ToList();
        while (left.Count > 0)
        {
            var keys = left.Select(l => Path.GetFileName(l.Folder)).ToHashSet(StringComparer.Ordinal);
            var ready = left.Where(l => l.Read.Body?["layout"] is not JsonValue outer || !keys.Contains($"{outer}")).ToList();
            if (ready.Count == 0)
                ready = left; // a circle, which the Api names
            foreach (var layout in ready)
                yield return layout;
            left = [.. left.Except(ready)];
        }
    }

    private static IEnumerable<string> Folders(string folder) =>
        Directory.Exists(folder)
            ? Directory.GetDirectories(folder).Where(f => !Path.GetFileName(f).StartsWith('.')).Order(StringComparer.Ordinal)
            : [];

    private static async Task<(JsonNode? Answer, string? Fault)> GetAsync(HttpClient http, string path)
    {
        using var response = await http.GetAsync(new Uri(path, UriKind.Relative));
        var text = await response.Content.ReadAsStringAsync();
        return response.IsSuccessStatusCode ? (JsonNode.Parse(text), null) : (null, Told(text, response));
    }

    // No answer and no fault: it was so before.
    private static async Task<(JsonNode? Answer, string? Fault)> PutAsync(HttpClient http, string path, JsonObject body)
    {
        using var content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
        using var response = await http.PutAsync(new Uri(path, UriKind.Relative), content);
        var text = await response.Content.ReadAsStringAsync();
        return (int)response.StatusCode switch
        {
            201 => (JsonNode.Parse(text), null),
            200 => (null, null),
            _ => (null, Told(text, response)),
        };
    }

    // Returns the text of a problem document, each fault on its own line.
    private static string Told(string text, HttpResponseMessage response)
    {
        try
        {
            var problem = JsonNode.Parse(text)!;
            return problem["errors"] is JsonObject errors
                ? string.Concat(errors.SelectMany(e => e.Value!.AsArray().Select(f => $"\n  {e.Key}: {f}")))
                : $"{problem["detail"]}";
        }
        catch (JsonException)
        {
            return $"{(int)response.StatusCode} from {response.RequestMessage!.RequestUri}; is this Notify's Api?";
        }
    }
}
