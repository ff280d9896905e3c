namespace Notify.Api.Notifications;

using System.Globalization;
using System.Text.Json;
using FluentValidation;
using Notify.Domain.Content;

/// <summary>A file that goes with an email.</summary>
public sealed record RequestedAttachment
{
    /// <summary>Its name for the recipient. Folders, control characters and line breaks are removed.</summary>
    [System.ComponentModel.DataAnnotations.Required]
    public string? Filename { get; init; }

    /// <summary>Its media type such as <c>application/pdf</c>, without parameters.</summary>
    [System.ComponentModel.DataAnnotations.Required]
    public string? ContentType { get; init; }

    /// <summary>Its bytes, base64.</summary>
    [System.ComponentModel.DataAnnotations.Required]
    public string? Content { get; init; }

    /// <summary>For a picture in the HTML: its ID after <c>cid:</c>. 1 to 100 of A-Z a-z 0-9 . _ + -, also with @ and a domain.</summary>
    public string? ContentId { get; init; }

    /// <summary>As it is kept.</summary>
    internal EmailAttachment Kept() =>
        new(AttachmentRules.Clean(Filename!)!, ContentType!.ToLowerInvariant(), Convert.FromBase64String(Content!), ContentId);
}

/// <summary>The shape of a file.</summary>
public sealed class RequestedAttachmentValidator : AbstractValidator<RequestedAttachment>
{
    /// <summary>The rules.</summary>
    public RequestedAttachmentValidator()
    {
        RuleFor(a => a.Filename)
            .Must(f => f is { Length: <= 1000 } && AttachmentRules.Clean(f) is not null)
            .WithMessage("must be a file's name of at most 1,000 characters");
        RuleFor(a => a.ContentType)
            .Must(t => t is not null && AttachmentRules.IsType(t))
            .WithMessage("must be a media type such as application/pdf, without parameters; not multipart or message");
        RuleFor(a => a.Content)
            .Must(c => c is { Length: > 0 } && System.Buffers.Text.Base64.IsValid(c, out var bytes) && bytes > 0)
            .WithMessage("must be the base64 of at least one byte");
        RuleFor(a => a.ContentId)
            .Must(c => AttachmentRules.IsContentId(c!))
            .When(a => a.ContentId is not null)
            .WithMessage("must be 1 to 100 of A-Z a-z 0-9 . _ + -, also with @ and a domain");
    }

    /// <summary>Returns the fault of all files of an email together; <c>null</c>: none.</summary>
    public static string? Excess(IReadOnlyList<RequestedAttachment> files)
    {
        if (files.Count > AttachmentRules.MaxCount)
            return $"must be at most {AttachmentRules.MaxCount} files; they are {files.Count}";
        var bytes = files.Sum(f => f.Content is { } text && System.Buffers.Text.Base64.IsValid(text, out var length) ? (long)length : 0);
        if (bytes > AttachmentRules.MaxBytes)
            return string.Create(
                CultureInfo.InvariantCulture,
                $"must have at most {AttachmentRules.MaxBytes:#,0} bytes together; they have {bytes:#,0}. Send a link instead"
            );
        return files.Where(f => f.ContentId is not null).GroupBy(f => f.ContentId).Any(g => g.Count() > 1)
            ? "must each have a contentId of their own"
            : null;
    }

    /// <summary>How many bytes of a request are files, which the limit of a request's size leaves out.</summary>
    public static long BytesOf(JsonElement request)
    {
        if (
            request.ValueKind != JsonValueKind.Object
            || !request.TryGetProperty("content", out var content)
            || content.ValueKind != JsonValueKind.Object
            || !content.TryGetProperty("attachments", out var files)
            || files.ValueKind != JsonValueKind.Array
        )
            return 0;
        return files
            .EnumerateArray()
            .Sum(f =>
                f.ValueKind == JsonValueKind.Object && f.TryGetProperty("content", out var file) && file.ValueKind == JsonValueKind.String
                    ? (long)System.Runtime.InteropServices.JsonMarshal.GetRawUtf8Value(file).Length
                    : 0
            );
    }
}

/// <summary>The shape of what a push may ask for.</summary>
public sealed class PushOptionsValidator : AbstractValidator<PushOptions>
{
    private const int LongestTtl = 28 * 24 * 60 * 60;

    /// <summary>The rules.</summary>
    public PushOptionsValidator()
    {
        Text(p => p.Sound, 100);
        RuleFor(p => p.Badge).InclusiveBetween(0, 99_999).WithMessage("must be 0 to 99,999");
        Picture(p => p.Image);
        RuleFor(p => p.CollapseKey)
            .Must(k => k!.Length is > 0 and <= 64 && k.All(c => c is > ' ' and <= '~'))
            .When(p => p.CollapseKey is not null)
            .WithMessage("must be 1 to 64 printable ASCII characters without blanks");
        RuleFor(p => p.TtlSeconds).InclusiveBetween(0, LongestTtl).WithMessage("must be 0 to 2,419,200 seconds, which are four weeks");
        Text(p => p.Android!.ChannelId, 100, p => p.Android is not null);
        Text(p => p.Android!.Icon, 100, p => p.Android is not null);
        Text(p => p.Android!.ClickAction, 200, p => p.Android is not null);
        RuleFor(p => p.Android!.Color)
            .Must(c => c is ['#', _, _, _, _, _, _] && c.Skip(1).All(char.IsAsciiHexDigit))
            .When(p => p.Android?.Color is not null)
            .WithMessage("must be a colour such as #1a2b3c");
        Text(p => p.Ios!.Subtitle, 200, p => p.Ios is not null);
        Text(p => p.Ios!.ThreadId, 100, p => p.Ios is not null);
        Text(p => p.Ios!.Category, 100, p => p.Ios is not null);
        Picture(p => p.Web!.Icon, p => p.Web is not null);
    }

    private void Text(
        System.Linq.Expressions.Expression<Func<PushOptions, string?>> field,
        int longest,
        Func<PushOptions, bool>? when = null
    ) =>
        RuleFor(field)
            .Must(t => t is null || (t.Length > 0 && t.Length <= longest && !t.Any(char.IsControl)))
            .When(when ?? (_ => true))
            .WithMessage(string.Create(CultureInfo.InvariantCulture, $"must be 1 to {longest} characters, without control characters"));

    private void Picture(System.Linq.Expressions.Expression<Func<PushOptions, string?>> field, Func<PushOptions, bool>? when = null) =>
        RuleFor(field)
            .Must(u =>
                u is null || (u.Length <= 1000 && Uri.TryCreate(u, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps)
            )
            .When(when ?? (_ => true))
            .WithMessage("must be an absolute https address of at most 1,000 characters");
}
