namespace Notify.Api.Categories;

using FluentValidation;
using Notify.Api.Contract;
using Notify.Domain.Categories;
using Notify.Domain.Channels;

/// <summary>How many notifications of a category a person may get on a channel.</summary>
public sealed record CategoryCap
{
    /// <summary>On which channel: push, sms or email.</summary>
    public string? Channel { get; init; }

    /// <summary>How many at most, 1 to 1000; a push to several devices is one.</summary>
    public int? Limit { get; init; }

    /// <summary>In which time: a full hour, a day from midnight, or a week from Monday, all UTC.</summary>
    public CapPeriod? Per { get; init; }

    /// <summary>The treatment of the rest: defer moves it to the next window with a free slot, suppress skips it.</summary>
    public CapExceeding? Exceeding { get; init; }
}

/// <summary>How a category's notifications are collected into one, for each person.</summary>
public sealed record CategoryDigest
{
    /// <summary>For how many seconds they are collected, from the first one on: 1 to 604800, a week.</summary>
    public int? WindowSeconds { get; init; }

    /// <summary>The template of its content, with the parameters count and items; absent: plain text that lists each.</summary>
    public string? Template { get; init; }

    /// <summary>Its channels: push, sms, email; absent: those of its template, else those of its notifications.</summary>
    public IReadOnlyList<string?>? Channels { get; init; }

    /// <summary>The number of notifications listed one by one, 1 to 200; the rest is counted. Absent: 50.</summary>
    public int? MaxItems { get; init; }
}

/// <summary>The rules of a category: the body of <c>PUT /v1/categories/{category}</c>. Absent fields have their defaults.</summary>
public sealed record PutCategory
{
    /// <summary>
    /// Whether it overrides opt-outs, as security notices and one-time codes must; absent: it does not. It never overrides a suppression.
    /// </summary>
    public bool? Required { get; init; }

    /// <summary>By channel (push, sms, email): whether people without a preference are reached; absent channels: they are.</summary>
    public IReadOnlyDictionary<string, bool?>? Defaults { get; init; }

    /// <summary>
    /// The treatment of an SMS or email with an unknown outcome at its deadline: resend sends it once more, hold (the default) does not.
    /// </summary>
    public UnknownOutcome? UnknownOutcome { get; init; }

    /// <summary>How many of them a person may get, at most one cap per channel and period; absent: any number.</summary>
    public IReadOnlyList<CategoryCap>? Caps { get; init; }

    /// <summary>How they are collected into one for each person; absent: each is sent by itself.</summary>
    public CategoryDigest? Digest { get; init; }

    /// <summary>How its emails name their sender; absent: as the provider's settings do.</summary>
    public CategoryEmail? Email { get; init; }
}

/// <summary>How a category's emails name their sender. Their address stays the provider's, by which mail is signed.</summary>
public sealed record CategoryEmail
{
    /// <summary>The name that mail programs show; 1 to 100 characters in one line. Absent: that of the provider's settings.</summary>
    public string? FromName { get; init; }

    /// <summary>The address that answers go to. Absent: the sender's.</summary>
    public string? ReplyTo { get; init; }
}

/// <summary>The shape of a category.</summary>
public sealed class PutCategoryValidator : AbstractValidator<PutCategory>
{
    /// <summary>The rules.</summary>
    public PutCategoryValidator()
    {
        RuleFor(c => c.Defaults)
            .Custom(
                (defaults, context) =>
                {
                    foreach (var (name, optIn) in defaults ?? new Dictionary<string, bool?>())
                    {
                        if (name is not ("push" or "sms" or "email"))
                            context.AddFailure($"Defaults.{name}", "is not a channel; channels are push, sms, email");
                        else if (optIn is null)
                            context.AddFailure($"Defaults.{name}", "must be true or false");
                    }
                }
            );
        RuleForEach(c => c.Caps)
            .NotNull()
            .WithMessage("must be a cap: { channel, limit, per, exceeding }")
            .SetValidator(new CategoryCapValidator());
        RuleFor(c => c.Caps)
            .Custom(
                (caps, context) =>
                {
                    var twice = (caps ?? [])
                        .Select((cap, i) => (Cap: cap, Index: i))
                        .Where(c => c.Cap is { Channel: not null, Per: not null })
                        .GroupBy(c => (c.Cap.Channel, c.Cap.Per))
                        .SelectMany(g => g.Skip(1));
                    foreach (var (cap, i) in twice)
                        context.AddFailure($"Caps[{i}]", $"is the second one on {cap.Channel} for this period; give one");
                }
            );
        RuleFor(c => c.Digest)
            .Null()
            .When(c => c.Required == true)
            .WithMessage("cannot be given for a required category: what must come does not wait; leave one of them out");
        RuleFor(c => c.Digest!).SetValidator(new CategoryDigestValidator()).When(c => c.Digest is not null);
        RuleFor(c => c.Email!.FromName)
            .Must(n => !string.IsNullOrWhiteSpace(n) && n.Length <= 100 && !n.Any(char.IsControl))
            .When(c => c.Email?.FromName is not null)
            .WithMessage("must be 1 to 100 characters in one line");
        RuleFor(c => c.Email!.ReplyTo)
            .Must(a => ContactRules.IsEmail(a!) && a!.All(char.IsAscii))
            .When(c => c.Email?.ReplyTo is not null)
            .WithMessage("must be an email address in ASCII");
        RuleFor(c => c.Email)
            .Must(e => e!.FromName is not null || e.ReplyTo is not null)
            .When(c => c.Email is not null)
            .WithMessage("must have fromName or replyTo; leave it out for the provider's own");
    }
}

/// <summary>The shape of a cap.</summary>
public sealed class CategoryCapValidator : AbstractValidator<CategoryCap>
{
    /// <summary>The rules.</summary>
    public CategoryCapValidator()
    {
        RuleFor(c => c.Channel).Must(c => c is "push" or "sms" or "email").WithMessage("must be push, sms or email");
        RuleFor(c => c.Limit)
            .NotNull()
            .WithMessage("must be given")
            .InclusiveBetween(1, 1000)
            .WithMessage("must be 1 to 1000; to reach nobody who did not ask for it, set the channel's default to false");
        RuleFor(c => c.Per).NotNull().WithMessage("must be hour, day or week");
        RuleFor(c => c.Exceeding).NotNull().WithMessage("must be defer or suppress");
    }
}

/// <summary>The shape of a digest; whether its template fits is asked afterwards.</summary>
public sealed class CategoryDigestValidator : AbstractValidator<CategoryDigest>
{
    /// <summary>The rules.</summary>
    public CategoryDigestValidator()
    {
        RuleFor(d => d.WindowSeconds)
            .NotNull()
            .WithMessage("must be given: for how many seconds they are collected")
            .InclusiveBetween(DigestRule.MinWindowSeconds, DigestRule.MaxWindowSeconds)
            .WithMessage("must be 1 to 604800, which is a week");
        RuleFor(d => d.Template).Must(Identifiers.IsTemplateKey).When(d => d.Template is not null).WithMessage(Identifiers.TemplateKeyRule);
        RuleFor(d => d.Channels)
            .Must(c => c!.Count > 0 && c.All(n => n is "push" or "sms" or "email") && c.Distinct().Count() == c.Count)
            .When(d => d.Channels is not null)
            .WithMessage("must name at least one of push, sms, email, and each only once");
        RuleFor(d => d.MaxItems).InclusiveBetween(1, DigestRule.MostItems).WithMessage("must be 1 to 200");
    }
}
