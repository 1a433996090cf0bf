-- What pandoc leaves out on the way to Typst: the alt text of pictures, the widths of columns that
-- a surrounding ::: {widths="1 3"} gives, blocks of a named kind; and links that lead nowhere in print.

local function quoted(text)
  return '"' .. text:gsub('[\\"]', '\\%0') .. '"'
end

local function picture(image)
  local alt = pandoc.utils.stringify(image.caption)
  if alt == "" then error("the picture " .. image.src .. " has no alt text") end
  return quoted(image.src) .. ", " .. quoted(alt) .. ", " .. (image.attributes.width or "100%")
end

function Para(para)
  if #para.content == 1 and para.content[1].t == "Image" then
    return pandoc.RawBlock("typst", "#picture(" .. picture(para.content[1]) .. ")")
  end
end

-- At the beginning of a cell Typst would take these for a list or a heading. A number in hexadecimal is
-- set as code: in the text's own type its letters would run together.
function Str(word)
  if word.text:match("^[-+=/]$") then return pandoc.RawInline("typst", "\\" .. word.text) end
  local before, number, after = word.text:match("^(.-)(0x%x+)(.*)$")
  if number then
    local parts = pandoc.Inlines({ pandoc.Code(number) })
    if before ~= "" then parts:insert(1, pandoc.Str(before)) end
    if after ~= "" then parts:insert(pandoc.Str(after)) end
    return parts
  end
end

-- Before a full stop no line is broken, not even after a blank: but .name is a word.
function Inlines(found)
  for n = #found - 1, 1, -1 do
    if found[n].t == "Space" and (found[n + 1].text or ""):match("^%.%a") then
      found:insert(n + 1, pandoc.RawInline("typst", "#sym.zws "))
    end
  end
  return found
end

function Link(link)
  if not link.target:match("^https?:") then return link.content end
end

function Table(found)
  found.classes:insert("typst:no-figure") -- in a figure it could not go over pages
  for _, column in ipairs(found.colspecs) do
    if column[1] == "AlignDefault" then column[1] = "AlignLeft" end
  end
  return found
end

-- What has a class is the argument of Typst's function of that name.
local function called(element, list, raw)
  local kind = element.classes[1]
  if not kind then return element.content end
  local parts = list({ raw("typst", "#" .. kind .. "[") })
  parts:extend(element.content)
  parts:insert(raw("typst", "]"))
  return parts
end

function Span(span)
  return called(span, pandoc.Inlines, pandoc.RawInline)
end

function Div(div)
  local widths = div.attributes.widths
  if widths then
    local parts, sum = {}, 0
    for part in widths:gmatch("%S+") do
      parts[#parts + 1] = tonumber(part)
      sum = sum + tonumber(part)
    end
    div = div:walk({ Table = function(found)
      for n, column in ipairs(found.colspecs) do column[2] = parts[n] / sum end
      return found
    end })
  end
  return called(div, pandoc.Blocks, pandoc.RawBlock)
end
