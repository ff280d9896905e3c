namespace Notify.Domain.Channels;

/// <summary>Names of enumerations' values in documents, tables and the API.</summary>
public static class EnumNames
{
    /// <summary>Returns the value's name in camel case.</summary>
    public static string Of(Enum value) => System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName(value.ToString());
}
