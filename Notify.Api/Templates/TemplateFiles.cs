namespace Notify.Api.Templates;

using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

/// <summary>
/// A template or layout as files, so that it can lie in a repository: <c>template.json</c> with what is not text, a file for
/// each text, a folder for each locale. A file's last line break is the editor's, and not part of the text.
/// </summary>
public static class TemplateFiles
{
    /// <summary>The folder of layouts, next to those of templates; no template can have this name.</summary>
    public const string Layouts = "@layouts";

    private const string Head = "template.json";

    private static readonly (string Channel, string Field, string File)[] Texts =
    [
        ("email", "subject", "email.subject.liquid"),
        ("email", "html", "email.html"),
        ("email", "text", "email.txt"),
        ("sms", "text", "sms.liquid"),
        ("push", "title", "push.title.liquid"),
        ("push", "body", "push.body.liquid"),
        ("push", "url", "push.url.liquid"),
    ];

    private static readonly (string Field, string File)[] LayoutTexts =
    [
        ("html", "layout.html"),
        ("text", "layout.txt"),
        ("styles", "styles.css"),
    ];

    private static readonly JsonSerializerOptions Readable = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The body that defines the template in a folder.</summary>
    /// <returns>The body, or what is wrong with the files.</returns>
    public static (JsonObject? Body, string? Fault) ReadTemplate(string folder)
    {
        var (body, fault) = ReadJson(Path.Combine(folder, Head), ["category", "layout", "params", "track"]);
        if (body is null)
            return (null, fault);
        body["channels"] = ReadTexts(folder);
        var locales = new JsonObject();
        foreach (var locale in Directory.GetDirectories(folder).Order(StringComparer.Ordinal))
            locales[Path.GetFileName(locale)] = ReadTexts(locale);
        if (locales.Count > 0)
            body["locales"] = locales;
        return (body, null);
    }

    /// <summary>The body that defines the layout in a folder.</summary>
    /// <returns>The body, or what is wrong with the files.</returns>
    public static (JsonObject? Body, string? Fault) ReadLayout(string folder)
    {
        var (body, fault) = ReadJson(Path.Combine(folder, "layout.json"), ["layout"]);
        if (body is null)
            return (null, fault);
        foreach (var (field, file) in LayoutTexts)
            if (ReadText(Path.Combine(folder, file)) is { } text)
                body[field] = text;
        return (body, null);
    }

    /// <summary>Writes a template into a folder; texts that it does not have are deleted there.</summary>
    public static void WriteTemplate(string folder, JsonNode template)
    {
        WriteJson(folder, Head, template, ["category", "layout", "params", "track"]);
        WriteTexts(folder, template["channels"]);
        var locales = template["locales"]?.AsObject() ?? [];
        foreach (var (tag, texts) in locales)
            WriteTexts(Path.Combine(folder, tag), texts);
        foreach (var locale in Directory.GetDirectories(folder).Where(d => !locales.ContainsKey(Path.GetFileName(d))))
        {
            WriteTexts(locale, null);
            if (!Directory.EnumerateFileSystemEntries(locale).Any())
                Directory.Delete(locale);
        }
    }

    /// <summary>Takes away what <see cref="WriteTemplate"/> writes, and with it folders that are empty then; other files stay.</summary>
    /// <returns>Whether there was something.</returns>
    public static bool RemoveTemplate(string folder)
    {
        if (!IsTemplate(folder))
            return false;
        foreach (var file in Folders(folder).SelectMany(FilesIn).Append(Path.Combine(folder, Head)))
            File.Delete(file);
        foreach (var empty in Folders(folder).Where(f => !Directory.EnumerateFileSystemEntries(f).Any()).ToList())
            Directory.Delete(empty);
        return true;
    }

    /// <summary>Whether a folder contains a template, or a part of one.</summary>
    public static bool IsTemplate(string folder) =>
        Directory.Exists(folder) && (File.Exists(Path.Combine(folder, Head)) || Folders(folder).SelectMany(FilesIn).Any());

    /// <summary>Writes a layout into a folder; texts that it does not have are deleted there.</summary>
    public static void WriteLayout(string folder, JsonNode layout)
    {
        WriteJson(folder, "layout.json", layout, ["layout"]);
        foreach (var (field, file) in LayoutTexts)
            WriteText(Path.Combine(folder, file), layout[field]?.GetValue<string>());
    }

    // Those of the locales, and then the template's own.
    private static IEnumerable<string> Folders(string folder) => Directory.GetDirectories(folder).Append(folder);

    private static IEnumerable<string> FilesIn(string folder) => Texts.Select(t => Path.Combine(folder, t.File)).Where(File.Exists);

    private static JsonObject ReadTexts(string folder)
    {
        var channels = new JsonObject();
        foreach (var (channel, field, file) in Texts)
        {
            if (ReadText(Path.Combine(folder, file)) is not { } text)
                continue;
            if (channels[channel] is not JsonObject texts)
                channels[channel] = texts = [];
            texts[field] = text;
        }

        return channels;
    }

    private static string? ReadText(string file)
    {
        if (!File.Exists(file))
            return null;
        var text = File.ReadAllText(file).Replace("\r\n", "\n", StringComparison.Ordinal);
        return text.EndsWith('\n') ? text[..^1] : text;
    }

    private static (JsonObject? Body, string? Fault) ReadJson(string file, string[] known)
    {
        if (!File.Exists(file))
            return (null, $"{file} is missing; write {{}} into it at least");
        try
        {
            if (JsonNode.Parse(File.ReadAllText(file)) is not JsonObject body)
                return (null, $"{file} must hold a JSON object");
            return body.FirstOrDefault(p => !known.Contains(p.Key)).Key is { } foreign
                ? (null, $"{file}: {foreign} is not known here; known are {string.Join(", ", known)}")
                : (body, null);
        }
        catch (JsonException e)
        {
            return (null, $"{file} is not JSON (line {e.LineNumber + 1})");
        }
    }

    private static void WriteJson(string folder, string file, JsonNode from, string[] fields)
    {
        Directory.CreateDirectory(folder);
        var body = new JsonObject();
        foreach (var field in fields)
            if (from[field] is { } value)
                body[field] = value.DeepClone();
        File.WriteAllText(Path.Combine(folder, file), body.ToJsonString(Readable) + "\n");
    }

    private static void WriteTexts(string folder, JsonNode? texts)
    {
        if (texts is not null)
            Directory.CreateDirectory(folder);
        foreach (var (channel, field, file) in Texts)
            WriteText(Path.Combine(folder, file), texts?[channel]?[field]?.GetValue<string>());
    }

    private static void WriteText(string file, string? text)
    {
        if (text is null)
            File.Delete(file);
        else
            File.WriteAllText(file, text + "\n");
    }
}
