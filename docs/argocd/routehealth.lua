-- Whether a RouteHealth is healthy, for Argo CD. The condition Healthy says it, with why and what to do.
local health = {status = "Progressing", message = "nothing is known yet"}
if obj.status == nil or obj.status.conditions == nil then
  return health
end
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Healthy" then
    health.message = condition.message
    local old = condition.observedGeneration ~= nil and condition.observedGeneration < obj.metadata.generation
    if old or condition.status == "Unknown" then
      health.status = "Progressing"
    elseif condition.status == "True" then
      health.status = "Healthy"
    else
      health.status = "Degraded"
    end
  end
end
return health
