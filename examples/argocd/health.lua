-- Health of an RtpPool for Argo CD, from the conditions that docs/conditions.md lists.
-- Argo CD reads it from the ConfigMap argocd-cm, key resource.customizations.health.rtppool.dev_RtpPool.
local waiting = { Pending = true, NoRelays = true, RelayNotReady = true }

local function ready_condition(status)
  for _, condition in ipairs(status.conditions or {}) do
    if condition.type == "Ready" then
      return condition
    end
  end
end

local status = obj.status or {}
local ready = ready_condition(status)
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The operator has not reported this generation yet" }
end

local health
if ready.status == "True" then
  health = "Healthy"
elseif ready.reason == "Paused" then
  health = "Suspended"
elseif ready.status == "Unknown" or waiting[ready.reason] then
  health = "Progressing"
else
  health = "Degraded"
end
return { status = health, message = ready.reason .. ": " .. ready.message }
