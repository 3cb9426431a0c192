-- Sends the lines of a file as bodies, one after the other; the requests are made beforehand.
local requests = {}
local number = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, line)
  end
end

function request()
  number = number % #requests + 1
  return requests[number]
end
