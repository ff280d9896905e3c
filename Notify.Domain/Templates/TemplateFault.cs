namespace Notify.Domain.Templates;

using System.Globalization;

/// <summary>A fault in a text of a template. It never contains a parameter's value.</summary>
/// <param name="Field">The text's field, such as <c>channels.email.html</c> or <c>locales.ko.sms.text</c>.</param>
/// <param name="Line">From 1; 0: it concerns the whole text.</param>
/// <param name="Column">In characters, from 1.</param>
public sealed record TemplateFault(string Field, int Line, int Column, string Message)
{
    /// <summary>Whether a budget was used up.</summary>
    public bool IsBudget { get; init; }

    /// <summary>Where, as far as it is known, and what.</summary>
    public string Detail => Line == 0 ? Message : string.Create(CultureInfo.InvariantCulture, $"line {Line}, column {Column}: {Message}");

    /// <summary>Where, without what: short enough for an event.</summary>
    public string Place => Line == 0 ? Field : string.Create(CultureInfo.InvariantCulture, $"{Field} {Line}:{Column}");
}
